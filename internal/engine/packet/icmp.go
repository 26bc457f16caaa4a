package packet

import (
	"encoding/binary"
	"net/netip"
)

// quotedLen is how much of the TCP header an ICMP error must quote: both ports and
// the sequence number. It is as much as RFC 792 promises.
const quotedLen = 8

// quote is what an ICMP error quotes of a packet that we sent.
type quote struct {
	local, remote netip.Addr
	tcp           []byte // its first quotedLen bytes at least
}

// answer is what the ICMP error in p says about the packet that it quotes.
func (q *quote) answer(p *carried) Answer {
	return Answer{
		Kind:     Error,
		Remote:   netip.AddrPortFrom(q.remote, binary.BigEndian.Uint16(q.tcp[2:])),
		Local:    netip.AddrPortFrom(q.local, binary.BigEndian.Uint16(q.tcp)),
		Sequence: binary.BigEndian.Uint32(q.tcp[4:]),
		From:     p.from,
		Type:     p.payload[0],
		Code:     p.payload[1],
	}
}

// parseICMP4 reads an ICMP error (RFC 792). Its checksum counts only where all that
// it covers was captured.
func parseICMP4(p *carried, verify bool) (Answer, bool) {
	icmp := p.payload
	if len(icmp) < headerICMP || !isError4(icmp[0], icmp[1]) || verify && p.whole() && fold(sum(icmp)) != intact {
		return Answer{}, false
	}
	q, ok := quoted4(icmp[headerICMP:])
	if !ok || q.local != p.to {
		return Answer{}, false
	}
	return q.answer(p), true
}

// parseICMP6 reads an ICMPv6 error (RFC 4443 section 3), whose checksum counts in
// the pseudo header.
func parseICMP6(p *carried, verify bool) (Answer, bool) {
	icmp := p.payload
	if len(icmp) < headerICMP || !isError6(icmp[0]) || verify && p.whole() && p.fold() != intact {
		return Answer{}, false
	}
	q, ok := quoted6(icmp[headerICMP:])
	if !ok || q.local != p.to {
		return Answer{}, false
	}
	return q.answer(p), true
}

func isError4(kind, code byte) bool {
	switch kind {
	case unreachable:
		return code != fragmentationNeeded
	case timeExceeded, parameterProblem:
		return true
	default:
		return false
	}
}

func isError6(kind byte) bool {
	return kind == unreachable6 || kind == timeExceeded6 || kind == parameterProblem6
}

// quoted4 reads a quoted IPv4 packet. Its checksum proves nothing, as a router need
// not undo what it changed in the header (RFC 1812 section 4.3.2.3), and its length
// is that of the packet, of which the quote may be the beginning only. Only a first
// fragment has the TCP header.
func quoted4(b []byte) (q quote, ok bool) {
	if len(b) < header4 || b[0]>>4 != 4 || b[9] != protocolTCP {
		return quote{}, false
	}
	header := int(b[0]&0x0f) * unit
	if header < header4 || len(b) < header+quotedLen || binary.BigEndian.Uint16(b[6:])&fragmentOffset != 0 {
		return quote{}, false
	}
	return quote{
		local:  netip.AddrFrom4([4]byte(b[12:16])),
		remote: netip.AddrFrom4([4]byte(b[16:20])),
		tcp:    b[header:],
	}, true
}

// quoted6 reads a quoted IPv6 packet. We send none with extension headers.
func quoted6(b []byte) (q quote, ok bool) {
	if len(b) < header6+quotedLen || b[0]>>4 != 6 || b[6] != protocolTCP {
		return quote{}, false
	}
	q = quote{
		local:  netip.AddrFrom16([16]byte(b[8:24])),
		remote: netip.AddrFrom16([16]byte(b[24:40])),
		tcp:    b[header6:],
	}
	return q, !q.remote.Is4In6()
}
