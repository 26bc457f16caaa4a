package packet

import (
	"encoding/binary"
	"net/netip"
)

// Kind is what sort of packet answered. The zero value is none of them.
type Kind uint8

// The kinds of answers.
const (
	SYNACK Kind = iota + 1 // the port accepts connections
	RST                    // the port refuses connections
	Error                  // an ICMP error: somebody on the way, or the host, could not deliver the SYN
)

// Answer is what one received packet says about one SYN.
type Answer struct {
	Kind     Kind
	Remote   netip.AddrPort // the port that the SYN was for
	Local    netip.AddrPort // where the SYN came from
	Sequence uint32         // of the SYN that is answered
	Window   uint16         // of a SYNACK, in bytes
	From     netip.Addr     // who sent the packet: Remote's address, except for an Error
	Type     uint8          // of an Error: that of ICMP (RFC 792) or ICMPv6 (RFC 4443)
	Code     uint8          // of an Error: goes with Type
}

// Parse reads one received packet, from its IP header on, and returns false where it
// is no answer to a SYN. The capture may have cut it short, and a network card may
// have padded it; b is not kept. It allocates nothing and may be called
// concurrently.
//
// Answers over TCP are a SYN+ACK with neither RST nor FIN, and a RST that has the ACK
// flag (RFC 9293 section 3.10.7.3: in SYN-SENT, a RST that acknowledges nothing is
// dropped). Their Sequence is the acknowledged number minus 1. Anything else proves
// nothing about the port, such as the bare ACK of a connection that has survived
// (RFC 5961 section 4). Answers over ICMP, of the kind [Error], quote 8 bytes or more
// of a TCP header, from which Sequence is taken, and go to the quoted source. They are
// "destination unreachable" except "fragmentation needed", "time exceeded" and
// "parameter problem" (RFC 792), and those of ICMPv6 by these names (RFC 4443 section 3).
//
// No answers are fragments, IPv6 packets with extension headers, and IPv6 packets
// with IPv4-mapped addresses, which no wire should carry.
//
// With verify, packets with a wrong checksum are no answers: that of the IPv4 header
// (RFC 1122 section 3.2.1.2), TCP, ICMP or ICMPv6. TCP is then no answer either where
// the packet was cut short, as its checksum is all that vouches for it. An ICMP
// message that was cut short is taken without. Without verify, no checksum is looked
// at: for packets that the network card or the kernel has checked, or whose checksum
// is not filled in yet, as on the loopback device.
func Parse(b []byte, verify bool) (Answer, bool) {
	if len(b) == 0 {
		return Answer{}, false
	}
	var p carried
	var ok bool
	switch b[0] >> 4 {
	case 4:
		p, ok = open4(b, verify)
	case 6:
		p, ok = open6(b)
	}
	switch {
	case !ok:
		return Answer{}, false
	case p.protocol == protocolTCP:
		return parseTCP(&p, verify)
	case p.protocol == protocolICMP && p.from.Is4():
		return parseICMP4(&p, verify)
	case p.protocol == protocolICMPv6 && p.from.Is6():
		return parseICMP6(&p, verify)
	default:
		return Answer{}, false
	}
}

// carried is what an IP packet carries, and what its header says about it.
type carried struct {
	from, to  netip.Addr
	addresses []byte // both, as they stand in the header
	protocol  byte
	length    uint16 // of the payload, in bytes
	payload   []byte // as much of it as was captured
}

// whole tells whether nothing was cut off.
func (p *carried) whole() bool { return len(p.payload) == int(p.length) }

// fold is [intact] if the checksum is right, of a protocol that counts in the
// pseudo header.
func (p *carried) fold() uint16 {
	return fold(pseudo(p.addresses, p.protocol, p.length) + sum(p.payload))
}

// open4 reads an IPv4 header (RFC 791 section 3.1), of a packet that is no fragment.
func open4(b []byte, verify bool) (p carried, ok bool) {
	if len(b) < header4 {
		return carried{}, false
	}
	header, total := uint16(b[0]&0x0f)*unit, binary.BigEndian.Uint16(b[2:])
	fragment := binary.BigEndian.Uint16(b[6:]) & (moreFragments | fragmentOffset)
	if header < header4 || header > total || int(header) > len(b) || fragment != 0 {
		return carried{}, false
	}
	if verify && fold(sum(b[:header])) != intact {
		return carried{}, false
	}
	return carried{
		from:      netip.AddrFrom4([4]byte(b[12:16])),
		to:        netip.AddrFrom4([4]byte(b[16:20])),
		addresses: b[12:20],
		protocol:  b[9],
		length:    total - header,
		payload:   b[header:min(len(b), int(total))],
	}, true
}

// open6 reads an IPv6 header (RFC 8200 section 3). An extension header is a protocol
// that nobody asks for.
func open6(b []byte) (p carried, ok bool) {
	if len(b) < header6 {
		return carried{}, false
	}
	length := binary.BigEndian.Uint16(b[4:])
	p = carried{
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
func parseTCP(p *carried, verify bool) (Answer, bool) {
	tcp := p.payload
	if len(tcp) < headerTCP {
		return Answer{}, false
	}
	header := uint16(tcp[12]>>4) * unit
	if header < headerTCP || header > p.length || verify && (!p.whole() || p.fold() != intact) {
		return Answer{}, false
	}
	a := Answer{
		Remote:   netip.AddrPortFrom(p.from, binary.BigEndian.Uint16(tcp)),
		Local:    netip.AddrPortFrom(p.to, binary.BigEndian.Uint16(tcp[2:])),
		Sequence: binary.BigEndian.Uint32(tcp[8:]) - 1,
		From:     p.from,
	}
	switch flags := tcp[13]; {
	case flags&(flagRST|flagACK) == flagRST|flagACK:
		a.Kind = RST
	case flags&(flagSYN|flagACK|flagRST|flagFIN) == flagSYN|flagACK:
		a.Kind, a.Window = SYNACK, binary.BigEndian.Uint16(tcp[14:])
	default:
		return Answer{}, false
	}
	return a, true
}
