// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// ResponseKind is the type of a response. The zero value is invalid.
type ResponseKind uint8

// The kinds of responses.
const (
	SYNACK    ResponseKind = iota + 1 // the port accepts connections
	RST                               // the port refuses connections
	ICMPError                         // the SYN could not be delivered
)

// Response is a received packet that responds to a SYN.
type Response struct {
	Kind     ResponseKind
	Remote   netip.AddrPort // destination of the SYN
	Local    netip.AddrPort // source of the SYN
	Sequence uint32         // of the SYN
	Window   uint16         // of a SYNACK, in bytes
	From     netip.Addr     // sender of the packet: Remote's address, except for an ICMPError
	Type     uint8          // of an ICMPError (RFC 792, RFC 4443)
	Code     uint8          // of an ICMPError
}

// Parse reads a received packet that starts with its IP header, and reports whether
// it responds to a SYN. The packet may be truncated or padded. b is not retained.
// Parse does not allocate and is safe for concurrent use.
//
// A TCP response is a SYN+ACK without RST and FIN, or a RST with ACK (RFC 9293
// section 3.10.7.3: in SYN-SENT, a RST without ACK is dropped). Its Sequence is the
// acknowledged number minus 1. Other TCP packets do not show the state of the port,
// such as the challenge ACK of an existing connection (RFC 5961 section 4).
//
// An [ICMPError] quotes at least 8 bytes of a TCP header, which has the Sequence, and
// is sent to the quoted source. It is "destination unreachable" except
// "fragmentation needed", "time exceeded" or "parameter problem" (RFC 792, RFC 4443
// section 3).
//
// Fragments, IPv6 packets with extension headers, and IPv6 packets with IPv4-mapped
// addresses are not responses.
//
// With verify, packets with a wrong checksum of the IPv4 header (RFC 1122 section
// 3.2.1.2), TCP, ICMP or ICMPv6 are not responses, and neither are truncated TCP
// packets. Truncated ICMP messages are accepted without a checksum. Omit verify for
// packets that the network card or the kernel has verified, and on the loopback
// device, where the checksum may not be filled in.
func Parse(b []byte, verify bool) (Response, bool) {
	p, ok := parseIP(b, verify)
	switch {
	case !ok:
		return Response{}, false
	case p.protocol == protocolTCP:
		return parseTCP(&p, verify)
	case p.protocol == protocolICMP && p.from.Is4():
		return parseICMP4(&p, verify)
	case p.protocol == protocolICMPv6 && p.from.Is6():
		return parseICMP6(&p, verify)
	default:
		return Response{}, false
	}
}

// ipPacket is a parsed IP packet.
type ipPacket struct {
	from, to  netip.Addr
	addresses []byte // both addresses of the header
	protocol  byte
	length    uint16 // payload length of the header
	payload   []byte // possibly truncated
}

// complete reports whether the payload is not truncated.
func (p *ipPacket) complete() bool { return len(p.payload) == int(p.length) }

// checksumValid reports whether the checksum over pseudo header and payload is valid.
func (p *ipPacket) checksumValid() bool {
	return foldSum(sumPseudoHeader(p.addresses, p.protocol, p.length)+sumBytes(p.payload)) == validSum
}

// parseIP reads the IP header of either version. With verify, the checksum of an IPv4 header
// must be right.
func parseIP(b []byte, verify bool) (ipPacket, bool) {
	if len(b) == 0 {
		return ipPacket{}, false
	}
	switch b[0] >> 4 {
	case 4:
		return parseIPv4(b, verify)
	case 6:
		return parseIPv6(b)
	default:
		return ipPacket{}, false
	}
}

// parseIPv4 reads an IPv4 packet (RFC 791 section 3.1). It rejects fragments.
func parseIPv4(b []byte, verify bool) (p ipPacket, ok bool) {
	if len(b) < header4 {
		return ipPacket{}, false
	}
	header, total := uint16(b[0]&0x0f)*wordLen, binary.BigEndian.Uint16(b[2:])
	fragment := binary.BigEndian.Uint16(b[6:]) & (moreFragments | fragmentOffset)
	if header < header4 || header > total || int(header) > len(b) || fragment != 0 {
		return ipPacket{}, false
	}
	if verify && foldSum(sumBytes(b[:header])) != validSum {
		return ipPacket{}, false
	}
	return ipPacket{
		from:      netip.AddrFrom4([4]byte(b[12:16])),
		to:        netip.AddrFrom4([4]byte(b[16:20])),
		addresses: b[12:20],
		protocol:  b[9],
		length:    total - header,
		payload:   b[header:min(len(b), int(total))],
	}, true
}

// parseIPv6 reads an IPv6 packet (RFC 8200 section 3). An extension header is returned
// as its protocol.
func parseIPv6(b []byte) (p ipPacket, ok bool) {
	if len(b) < header6 {
		return ipPacket{}, false
	}
	length := binary.BigEndian.Uint16(b[4:])
	p = ipPacket{
		from:      netip.AddrFrom16([16]byte(b[8:24])),
		to:        netip.AddrFrom16([16]byte(b[24:40])),
		addresses: b[8:40],
		protocol:  b[6],
		length:    length,
		payload:   b[header6:min(len(b), header6+int(length))],
	}
	return p, !p.from.Is4In6() && !p.to.Is4In6()
}

// parseTCP reads a TCP header (RFC 9293 section 3.1).
func parseTCP(p *ipPacket, verify bool) (Response, bool) {
	tcp := p.payload
	if len(tcp) < headerTCP {
		return Response{}, false
	}
	header := uint16(tcp[12]>>4) * wordLen
	if header < headerTCP || header > p.length || verify && (!p.complete() || !p.checksumValid()) {
		return Response{}, false
	}
	r := Response{
		Remote:   netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(tcp)),
		Local:    netip.AddrPortFrom(p.to, binary.BigEndian.Uint16(tcp[2:])),
		Sequence: binary.BigEndian.Uint32(tcp[8:]) - 1,
		From:     p.from,
	}
	switch flags := tcp[13]; {
	case flags&(flagRST|flagACK) == flagRST|flagACK:
		r.Kind = RST
	case flags&(flagSYN|flagACK|flagRST|flagFIN) == flagSYN|flagACK:
		r.Kind, r.Window = SYNACK, binary.BigEndian.Uint16(tcp[14:])
	default:
		return Response{}, false
	}
	return r, true
}
