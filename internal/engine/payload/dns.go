// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"
	"strings"
)

// Record types and classes (RFC 1035 section 3.2).
const (
	dnsTypePTR = 12
	dnsClassIN = 1
)

// dns requests the PTR record of 127.0.0.1 without recursion (RFC 1035 section 4.1).
// Resolvers and forwarders serve this name themselves (RFC 6303 section 4.2), and
// other servers refuse it, so all answer even if no other server is reachable. Two
// alternatives are worse: a forwarder passes a query for the root servers on, or
// answers with fourteen times the bytes; "version.bind" is reported as an attack.
func dns() []byte { return dnsQuery("1.0.0.127.in-addr.arpa", dnsTypePTR) }

// mdns requests the list of services (RFC 6763 section 9). Its source port is not
// 5353, so it is a legacy unicast query, which hosts answer like a DNS server (RFC
// 6762 sections 5.5, 6.7).
func mdns() []byte { return dnsQuery("_services._dns-sd._udp.local", dnsTypePTR) }

// dnsQuery returns a message with one question of class IN.
func dnsQuery(name string, recordType int) []byte {
	var labels []byte // RFC 1035 section 3.1
	for label := range strings.SplitSeq(name, ".") {
		labels = append(labels, u8(len(label))...)
		labels = append(labels, label...)
	}
	return slices.Concat(
		dnsHeader(),
		labels, []byte{0},
		u16(recordType), u16(dnsClassIN), // RFC 1035 section 4.1.2
	)
}

// dnsHeader returns the header of a DNS or NetBIOS query with one question (RFC 1035
// section 4.1.1, RFC 1002 section 4.2.1.1).
func dnsHeader() []byte {
	return slices.Concat(
		filler(2),      // ID
		u16(0),         // QR, OPCODE, AA, TC, RD, RA, Z, RCODE
		u16(1),         // QDCOUNT
		u16(0),         // ANCOUNT
		u16(0), u16(0), // NSCOUNT, ARCOUNT
	)
}
