package payload

import "slices"

// ports are those at which a payload is sent; a place that is left over is 0. It
// is an array, and not a slice, so that the table costs no memory at each call.
type ports [11]uint16

func (p *ports) has(port uint16) bool { return port != 0 && slices.Contains(p[:], port) }

// row is a line of the table.
type row struct {
	name  string
	build func() []byte
	ports ports
}

func (r *row) payload() Payload {
	return Payload{Name: r.name, Data: r.build(), moves: r.name == nameTFTP}
}

// table says which payloads there are and which ports get them. Of several at one
// port the first row is the one to try first.
func table() [27]row {
	return [...]row{
		// IANA's "Service Name and Transport Protocol Port Number Registry" has the
		// ports, where nothing else is said.
		{"dns", dns, ports{53}},
		{nameTFTP, tftp, ports{69}},
		{"kerberos", kerberos, ports{88}},
		{"portmapper", portmapper, ports{111}},
		{"ntp", ntp, ports{123}},
		{"netbios-ns", netbios, ports{137}},
		// Version 3 first: it asks for no community, so that every agent that speaks it
		// answers. The older ones are answered where the community is the usual one.
		{"snmpv3", snmpv3, ports{161}},
		{"snmpv2c", snmpv2c, ports{161}},
		{"snmpv1", snmpv1, ports{161}},
		{"cldap", cldap, ports{389}},
		// A responder for version 1 alone may be silent to version 2, and the other way
		// round.
		{"ikev2", ikev2, ports{500}},
		{"ikev1", ikev1, ports{500}},
		{"ikev2-nat", ikev2NAT, ports{4500}},
		{"ikev1-nat", ikev1NAT, ports{4500}},
		{"rip", rip, ports{520}},
		{"rmcp", rmcp, ports{623}},
		// 443, 8443: HTTP/3 (RFC 9114 section 3.1); 853: DNS (RFC 9250 section 4.1.1).
		{"quic", quic, ports{443, 853, 8443}},
		// 443, 8443: VPN gateways that speak DTLS beside TLS; 853: DNS (RFC 8094); 2083:
		// RADIUS (RFC 7360); 3391: remote desktop gateways; 4433: what OpenSSL uses; 4740:
		// IPFIX (RFC 7011); 5349: STUN and TURN (RFC 8489, 8656); 5684: CoAP (RFC 7252
		// section 12.7); 6514: syslog (RFC 6012); 10161: SNMP (RFC 6353).
		{"dtls", dtls, ports{443, 853, 2083, 3391, 4433, 4740, 5349, 5684, 6514, 8443, 10161}},
		// 1645, 1646: where both were before 1812 and 1813 (RFC 2865 section 3, RFC 2866
		// section 3).
		{"radius", radius, ports{1645, 1646, 1812, 1813}},
		{"ssdp", ssdp, ports{1900}},
		{"nfs", nfs, ports{2049}},
		// 19302: where the largest public servers are, though IANA knows nothing of it.
		{"stun", stun, ports{3478, 19302}},
		{"sip", sip, ports{5060}},
		{"nat-pmp", natpmp, ports{5351}},
		{"mdns", mdns, ports{5353}},
		{"coap", coap, ports{5683}},
		{"memcached", memcached, ports{11211}},
	}
}
