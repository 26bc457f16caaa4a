// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// quotedLen is the part of the TCP header that an ICMP error must quote: both ports
// and the sequence number (RFC 792).
const quotedLen = 8

// quotedSYN is the sent packet that an ICMP error quotes.
type quotedSYN struct {
	local, remote netip.Addr
	tcp           []byte // at least quotedLen bytes
}

// response returns the response of the ICMP error in p.
func (q *quotedSYN) response(p *ipPacket) Response {
	return Response{
		Kind:     ICMPError,
		Remote:   netip.AddrPortFrom(q.remote, binary.BigEndian.Uint16(q.tcp[2:])),
		Local:    netip.AddrPortFrom(q.local, binary.BigEndian.Uint16(q.tcp)),
		Sequence: binary.BigEndian.Uint32(q.tcp[4:]),
		From:     p.from,
		Type:     p.payload[0],
		Code:     p.payload[1],
	}
}

// parseICMP4 reads an ICMP error (RFC 792). It verifies the checksum only of complete
// packets.
func parseICMP4(p *ipPacket, verify bool) (Response, bool) {
	icmp := p.payload
	if len(icmp) < headerICMP || !isError4(icmp[0], icmp[1]) || verify && p.complete() && foldSum(sumBytes(icmp)) != validSum {
		return Response{}, false
	}
	q, ok := parseQuote4(icmp[headerICMP:])
	if !ok || q.local != p.to {
		return Response{}, false
	}
	return q.response(p), true
}

// parseICMP6 reads an ICMPv6 error (RFC 4443 section 3). It verifies the checksum only
// of complete packets.
func parseICMP6(p *ipPacket, verify bool) (Response, bool) {
	icmp := p.payload
	if len(icmp) < headerICMP || !isError6(icmp[0]) || verify && p.complete() && !p.checksumValid() {
		return Response{}, false
	}
	q, ok := parseQuote6(icmp[headerICMP:])
	if !ok || q.local != p.to {
		return Response{}, false
	}
	return q.response(p), true
}

func isError4(icmpType, code byte) bool {
	switch icmpType {
	case unreachable:
		return code != fragmentationNeeded
	case timeExceeded, parameterProblem:
		return true
	default:
		return false
	}
}

func isError6(icmpType byte) bool {
	return icmpType == unreachable6 || icmpType == timeExceeded6 || icmpType == parameterProblem6
}

// parseQuote4 reads a quoted IPv4 packet. It ignores the header checksum, because
// routers may quote the header as they changed it (RFC 1812 section 4.3.2.3), and the
// length, because the quote may be truncated. Only a first fragment has the TCP
// header.
func parseQuote4(b []byte) (q quotedSYN, ok bool) {
	if len(b) < header4 || b[0]>>4 != 4 || b[9] != protocolTCP {
		return quotedSYN{}, false
	}
	header := int(b[0]&0x0f) * wordLen
	if header < header4 || len(b) < header+quotedLen || binary.BigEndian.Uint16(b[6:])&fragmentOffset != 0 {
		return quotedSYN{}, false
	}
	return quotedSYN{
		local:  netip.AddrFrom4([4]byte(b[12:16])),
		remote: netip.AddrFrom4([4]byte(b[16:20])),
		tcp:    b[header:],
	}, true
}

// parseQuote6 reads a quoted IPv6 packet. Sent packets have no extension headers.
func parseQuote6(b []byte) (q quotedSYN, ok bool) {
	if len(b) < header6+quotedLen || b[0]>>4 != 6 || b[6] != protocolTCP {
		return quotedSYN{}, false
	}
	q = quotedSYN{
		local:  netip.AddrFrom16([16]byte(b[8:24])),
		remote: netip.AddrFrom16([16]byte(b[24:40])),
		tcp:    b[header6:],
	}
	return q, !q.remote.Is4In6()
}
