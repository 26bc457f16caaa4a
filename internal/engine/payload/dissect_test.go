// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

// fields are the values of Wireshark fields; repeated values are separated by commas.
type fields map[string]string

// dissection is the expected result for a payload.
type dissection struct {
	port     uint16
	protocol string // protocols above UDP
	fields   fields
}

func dissections() map[string]dissection {
	snmp := fields{"snmp.data": "0", "snmp.error_status": "0"}
	ikev2 := fields{
		"isakmp.ispi": "portscan", "isakmp.rspi": "0000000000000000",
		"isakmp.version": "0x20", "isakmp.exchangetype": "34", "isakmp.flags": "0x08", "isakmp.messageid": "0x00000000",
		"isakmp.typepayload": "33,2,3,3,3,3,3,3,3,3,3,3,3,3,34,40", "isakmp.prop.transforms": "12",
		"isakmp.tf.id.encr": "12,12,3", "isakmp.tf.id.dh": "65520,31,19,14,2", "isakmp.key_exchange.dh_group": "65520",
	}
	ikev1 := fields{
		"isakmp.version": "0x10", "isakmp.exchangetype": "2", "isakmp.flags": "0x00", "isakmp.rspi": "0000000000000000",
		"isakmp.sa.doi": "1", "isakmp.sa.situation": "00000001", "isakmp.prop.transforms": "8",
		"isakmp.ike.attr.authentication_method": "1,3,1,3,1,3,1,3", "isakmp.ike.attr.group_description": "14,14,2,2,2,2,2,2",
		"isakmp.ike.attr.encryption_algorithm": "7,7,7,7,7,7,5,5", "isakmp.ike.attr.life_type": "1,1,1,1,1,1,1,1",
	}
	with := func(common, more fields) fields {
		all := maps.Clone(common)
		maps.Copy(all, more)
		return all
	}
	spi := fields{"isakmp.ispi": fmt.Sprintf("%x", "portscan")}
	spiNAT := fields{"isakmp.ispi": fmt.Sprintf("%x", "exporter"), "udpencap.non_esp_marker": "1"}
	return map[string]dissection{
		"dns": {53, "dns", fields{
			"dns.qry.name": "1.0.0.127.in-addr.arpa", "dns.qry.type": "12", "dns.qry.class": "0x0001",
			"dns.flags.response": "0", "dns.flags.opcode": "0", "dns.flags.recdesired": "0", "dns.count.queries": "1",
		}},
		"mdns": {5353, "mdns", fields{
			"dns.qry.name": "_services._dns-sd._udp.local", "dns.qry.type": "12", "dns.qry.class": "0x0001", "dns.qry.qu": "0",
			"dns.flags.response": "0", "dns.count.queries": "1",
		}},
		"tftp": {69, "tftp", fields{"tftp.opcode": "1", "tftp.source_file": "portscan_exporter", "tftp.type": "octet"}},
		"kerberos": {88, "kerberos", fields{
			"kerberos.pvno": "5", "kerberos.msg_type": "10", "kerberos.realm": "INVALID", "kerberos.CNameString": "portscan_exporter",
			"kerberos.SNameString": "krbtgt,INVALID", "kerberos.name_type": "1,2", "kerberos.ENCTYPE": "18", "kerberos.kdc_options": "00000000",
		}},
		"portmapper": {111, "rpc", fields{
			"rpc.msgtyp": "0", "rpc.version": "2", "rpc.program": "100000", "rpc.programversion": "2,2", "rpc.procedure": "0", "rpc.auth.flavor": "0,0",
		}},
		"nfs": {2049, "rpc", fields{
			"rpc.msgtyp": "0", "rpc.version": "2", "rpc.program": "100003", "rpc.programversion": "3,3", "rpc.procedure": "0", "rpc.auth.flavor": "0,0",
		}},
		"ntp":        {123, "ntp", fields{"ntp.flags.li": "0", "ntp.flags.vn": "4", "ntp.flags.mode": "3"}},
		"netbios-ns": {137, "nbns", fields{"nbns.type": "33", "nbns.class": "1", "nbns.count.queries": "1", "nbns.flags.opcode": "0"}},
		"snmpv1":     {161, "snmp", with(snmp, fields{"snmp.version": "0", "snmp.community": "public", "snmp.name": "1.3.6.1.2.1.1.3.0"})},
		"snmpv2c":    {161, "snmp", with(snmp, fields{"snmp.version": "1", "snmp.community": "public", "snmp.name": "1.3.6.1.2.1.1.3.0"})},
		"snmpv3": {161, "snmp", with(snmp, fields{
			"snmp.msgVersion": "3", "snmp.v3.flags.report": "1", "snmp.v3.flags.auth": "0", "snmp.v3.flags.crypt": "0",
			"snmp.msgSecurityModel": "3", "snmp.msgUserName": "", "snmp.variable_bindings": "0",
		})},
		"cldap": {389, "cldap", fields{
			"ldap.protocolOp": "3", "ldap.baseObject": "", "ldap.scope": "0", "ldap.present": "objectClass", "ldap.AttributeDescription": "1.1",
		}},
		"ikev2":     {500, "isakmp", with(ikev2, spi)},
		"ikev2-nat": {4500, "udpencap:isakmp", with(ikev2, spiNAT)},
		"ikev1":     {500, "isakmp", with(ikev1, spi)},
		"ikev1-nat": {4500, "udpencap:isakmp", with(ikev1, spiNAT)},
		"rip":       {520, "rip", fields{"rip.command": "1", "rip.version": "2", "rip.family": "2", "rip.ip": "0.0.0.0", "rip.metric": "16"}},
		"rmcp":      {623, "rmcp:asf", fields{"rmcp.class": "0x06", "asf.iana": "4542", "asf.type": "0x80", "asf.len": "0"}},
		"quic": {443, "quic", fields{
			"quic.header_form": "1", "quic.version": "0x1a2a3a4a", "quic.dcil": "8", "quic.scil": "0", "quic.packet_length": "1200",
		}},
		"dtls": {5684, "dtls", fields{
			"dtls.record.content_type": "22", "dtls.handshake.type": "1", "dtls.handshake.version": "0xfefd", "dtls.handshake.cookie_length": "0",
			"dtls.handshake.ciphersuite": "0xc02b,0xc02f,0x009c,0x002f,0xc0ae,0xc0a8", "dtls.handshake.extensions_supported_group": "0x0017,0x001d",
		}},
		"radius": {1812, "radius", fields{"radius.code": "12", "radius.length": "38", "radius.avp.type": "80"}},
		"ssdp":   {1900, "ssdp", fields{"http.request.method": "M-SEARCH", "http.request.uri": "*", "http.host": "239.255.255.250:1900"}},
		"stun":   {3478, "stun", fields{"stun.type": "0x0001", "stun.length": "0", "stun.cookie": "2112a442"}},
		"sip": {5060, "sip", fields{
			"sip.Method": "OPTIONS", "sip.Max-Forwards": "0", "sip.CSeq.method": "OPTIONS", "sip.Content-Length": "0",
			"sip.Via.transport": "UDP", "sip.Via.branch": "z9hG4bKportscan_exporter", "sip.Via.rport": "rport",
			"sip.from.tag": "portscan_exporter", "sip.Call-ID": "portscan_exporter", "sip.to.host": "portscan-exporter.invalid",
		}},
		"nat-pmp": {5351, "portcontrol", fields{"nat-pmp.version": "0", "nat-pmp.opcode": "0"}},
		"coap": {5683, "coap", fields{
			"coap.version": "1", "coap.type": "0", "coap.code": "1", "coap.opt.uri_path": ".well-known,core",
			"coap.opt.block_number": "0", "coap.opt.block_size": "0", "coap.opt.block_mflag": "0",
		}},
		// Wireshark does not dissect memcached over UDP further.
		"memcached": {11211, "memcache", nil},
	}
}

// TestWiresharkDissects requires that Wireshark recognizes each payload and reports no
// error in it.
func TestWiresharkDissects(t *testing.T) {
	testnet.NeedProgram(t, "tshark")
	all, wanted := payloadsByName(t), dissections()
	names := slices.Sorted(maps.Keys(all))
	columns := []string{"frame.protocols", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message"}
	for _, d := range wanted {
		columns = append(columns, slices.Collect(maps.Keys(d.fields))...)
	}
	slices.Sort(columns)
	columns = slices.Compact(columns)
	var packets [][]byte
	for i, name := range names {
		// The source ports belong to no service, and differ so that each packet is a
		// conversation of its own.
		packets = append(packets, overUDP(uint16(49_152+i), wanted[name].port, all[name].Data))
	}
	rows := dissect(t, packets, columns)
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			want, ok := wanted[name]
			if !ok {
				t.Fatal("no dissection is defined")
			}
			got := rows[i]
			if p, want := got["frame.protocols"], "raw:ip:udp:"+want.protocol; p != want {
				t.Errorf("protocols = %s, want %s", p, want)
			}
			if got["_ws.malformed"] != "" {
				t.Error("packet is malformed")
			}
			const expertError = "8388608"
			if slices.Contains(strings.Split(got["_ws.expert.severity"], ","), expertError) {
				t.Errorf("expert error: %s", got["_ws.expert.message"])
			}
			for field, want := range want.fields {
				if got[field] != want {
					t.Errorf("%s = %q, want %q", field, got[field], want)
				}
			}
		})
	}
}

// dissect returns the fields of each packet.
func dissect(t *testing.T, packets [][]byte, columns []string) []fields {
	t.Helper()
	file := filepath.Join(t.TempDir(), "payloads.pcap")
	if err := os.WriteFile(file, capture(packets), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=/t", "-E", "aggregator=,", "-E", "occurrence=a"}
	for _, c := range columns {
		args = append(args, "-e", c)
	}
	cmd := exec.Command("tshark", args...)
	// Ignore the preferences of the user.
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "XDG_CONFIG_HOME="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(packets) {
		t.Fatalf("got %d lines, want %d:\n%s", len(lines), len(packets), out)
	}
	var all []fields
	for _, line := range lines {
		row := fields{}
		for i, value := range strings.Split(line, "\t") {
			row[columns[i]] = value
		}
		all = append(all, row)
	}
	return all
}

// capture returns a pcap file of raw IP packets.
func capture(packets [][]byte) []byte {
	const (
		magic        = 0xa1b2c3d4
		major, minor = 2, 4
		longest      = 65_535
		raw          = 101
	)
	le := binary.LittleEndian
	file := le.AppendUint32(nil, magic)
	file = le.AppendUint16(file, major)
	file = le.AppendUint16(file, minor)
	for _, n := range []uint32{0, 0, longest, raw} {
		file = le.AppendUint32(file, n)
	}
	for i, p := range packets {
		// Time, captured and original length.
		for _, n := range []int{i, 0, len(p), len(p)} {
			file = le.AppendUint32(file, uint32(n))
		}
		file = append(file, p...)
	}
	return file
}

// overUDP returns a UDP datagram in an IPv4 packet, both without checksums (RFC 791,
// RFC 768).
func overUDP(from, to uint16, data []byte) []byte {
	be := binary.BigEndian
	packet := []byte{0x45, 0}
	packet = be.AppendUint16(packet, uint16(28+len(data)))
	packet = append(packet, 0, 0, 0, 0, 64, 17, 0, 0)
	packet = append(packet, 192, 0, 2, 1, 192, 0, 2, 2)
	packet = be.AppendUint16(packet, from)
	packet = be.AppendUint16(packet, to)
	packet = be.AppendUint16(packet, uint16(8+len(data)))
	packet = append(packet, 0, 0)
	return append(packet, data...)
}
