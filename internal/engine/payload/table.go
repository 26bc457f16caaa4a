// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// portList is a list of ports, padded with 0. It is an array so that the table
// needs no allocation.
type portList [11]uint16

func (p *portList) has(port uint16) bool { return port != 0 && slices.Contains(p[:], port) }

// service maps ports to a payload.
type service struct {
	name  string
	build func() []byte
	ports portList
}

// services returns the table of payloads. If a port has several, they are sent in
// the order of the table. Unless stated otherwise, the ports are those of IANA's
// Service Name and Transport Protocol Port Number Registry.
func services() [27]service {
	return [...]service{
		{"dns", dns, portList{53}},
		{nameTFTP, tftp, portList{69}},
		{"kerberos", kerberos, portList{88}},
		{"portmapper", portmapper, portList{111}},
		{"ntp", ntp, portList{123}},
		{"netbios-ns", netbios, portList{137}},
		// Version 3 first: agents answer it without a community.
		{"snmpv3", snmpv3, portList{161}},
		{"snmpv2c", snmpv2c, portList{161}},
		{"snmpv1", snmpv1, portList{161}},
		{"cldap", cldap, portList{389}},
		// A responder of one IKE version may ignore the other.
		{"ikev2", ikev2, portList{500}},
		{"ikev1", ikev1, portList{500}},
		{"ikev2-nat", ikev2NAT, portList{4500}},
		{"ikev1-nat", ikev1NAT, portList{4500}},
		{"rip", rip, portList{520}},
		{"rmcp", rmcp, portList{623}},
		// 443, 8443: HTTP/3 (RFC 9114 section 3.1); 853: DNS (RFC 9250 section 4.1.1).
		{"quic", quic, portList{443, 853, 8443}},
		// 443, 8443: VPN gateways; 853: DNS (RFC 8094); 2083: RADIUS (RFC 7360); 3391:
		// remote desktop gateways; 4433: default of OpenSSL; 4740: IPFIX (RFC 7011);
		// 5349: STUN and TURN (RFC 8489, 8656); 5684: CoAP (RFC 7252 section 12.7);
		// 6514: syslog (RFC 6012); 10161: SNMP (RFC 6353).
		{"dtls", dtls, portList{443, 853, 2083, 3391, 4433, 4740, 5349, 5684, 6514, 8443, 10161}},
		// 1645, 1646: used before 1812 and 1813 were assigned (RFC 2865 section 3, RFC 2866
		// section 3).
		{"radius", radius, portList{1645, 1646, 1812, 1813}},
		{"ssdp", ssdp, portList{1900}},
		{"nfs", nfs, portList{2049}},
		// 19302: the largest public servers; not registered with IANA.
		{"stun", stun, portList{3478, 19302}},
		{"sip", sip, portList{5060}},
		{"nat-pmp", natpmp, portList{5351}},
		{"mdns", mdns, portList{5353}},
		{"coap", coap, portList{5683}},
		{"memcached", memcached, portList{11211}},
	}
}
