package lab

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// The flags of a TCP header (RFC 9293 section 3.1).
const (
	flagFIN = 1 << iota
	flagSYN
	flagRST
	flagPSH
	flagACK
)

// Numbers of the protocols, as IP has them.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoICMPv6 = 58
)

// Lengths of headers without options.
const (
	len4    = 20
	len6    = 40
	lenTCP  = 20
	lenICMP = 8
)

const (
	hops   = 64     // of what we send
	window = 64_240 // of what we accept
)

// segment is a TCP segment that has arrived.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	data     int    // bytes of it
	packet   []byte // the IP packet, not to be kept
}

// has tells whether all these flags are set.
func (s *segment) has(flags byte) bool { return s.flags&flags == flags }

// next is the sequence number behind the segment: SYN and FIN count as a byte.
func (s *segment) next() uint32 {
	n := s.seq + uint32(s.data)
	if s.has(flagSYN) {
		n++
	}
	if s.has(flagFIN) {
		n++
	}
	return n
}

// forged returns a copy that claims another sequence number, as somebody would who
// has not seen the segment.
func (s *segment) forged() *segment {
	const (
		off   = 1 << 30 // as far away as any window
		field = 4       // of the TCP header
	)
	copied := *s
	copied.packet = slices.Clone(s.packet)
	copied.seq += off
	header := len6
	if s.src.Addr().Is4() {
		header = int(s.packet[0]&15) * 4
	}
	binary.BigEndian.PutUint32(copied.packet[header+field:], copied.seq)
	return &copied
}

// parse reads a packet. It is not TCP where isTCP is false, and where intact is
// false a checksum or a length is wrong.
func parse(packet []byte) (s segment, isTCP, intact bool) {
	if len(packet) == 0 {
		return segment{}, false, false
	}
	switch packet[0] >> 4 {
	case 4:
		return parse4(packet)
	case 6:
		return parse6(packet)
	default:
		return segment{}, false, false
	}
}

// parse4 reads an IPv4 packet (RFC 791 section 3.1).
func parse4(packet []byte) (s segment, isTCP, intact bool) {
	if len(packet) < len4 || packet[9] != protoTCP {
		return segment{}, false, false
	}
	header := int(packet[0]&15) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < len4 || total > len(packet) || total < header+lenTCP || checksum(0, packet[:header]) != 0 {
		return segment{}, true, false
	}
	src, dst := netip.AddrFrom4([4]byte(packet[12:])), netip.AddrFrom4([4]byte(packet[16:]))
	s, intact = parseTCP(src, dst, packet[header:total])
	s.packet = packet[:total]
	return s, true, intact
}

// parse6 reads an IPv6 packet (RFC 8200 section 3) without extension headers.
func parse6(packet []byte) (s segment, isTCP, intact bool) {
	if len(packet) < len6 || packet[6] != protoTCP {
		return segment{}, false, false
	}
	total := len6 + int(binary.BigEndian.Uint16(packet[4:]))
	if total > len(packet) || total < len6+lenTCP {
		return segment{}, true, false
	}
	src, dst := netip.AddrFrom16([16]byte(packet[8:])), netip.AddrFrom16([16]byte(packet[24:]))
	s, intact = parseTCP(src, dst, packet[len6:total])
	s.packet = packet[:total]
	return s, true, intact
}

// parseTCP reads a segment (RFC 9293 section 3.1), which is as long as a header
// at least.
func parseTCP(src, dst netip.Addr, tcp []byte) (s segment, intact bool) {
	offset := int(tcp[12]>>4) * 4
	if offset < lenTCP || offset > len(tcp) || checksum(pseudo(src, dst, protoTCP, len(tcp)), tcp) != 0 {
		return segment{}, false
	}
	return segment{
		src:   netip.AddrPortFrom(src, binary.BigEndian.Uint16(tcp)),
		dst:   netip.AddrPortFrom(dst, binary.BigEndian.Uint16(tcp[2:])),
		seq:   binary.BigEndian.Uint32(tcp[4:]),
		ack:   binary.BigEndian.Uint32(tcp[8:]),
		flags: tcp[13],
		data:  len(tcp) - offset,
	}, true
}

// buildTCP returns a packet with a segment that has neither options nor data.
func buildTCP(src, dst netip.AddrPort, seq, ack uint32, flags byte) []byte {
	packet, tcp := buildIP(src.Addr(), dst.Addr(), protoTCP, lenTCP)
	binary.BigEndian.PutUint16(tcp, src.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12] = lenTCP / 4 << 4
	tcp[13] = flags
	binary.BigEndian.PutUint16(tcp[14:], window)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudo(src.Addr(), dst.Addr(), protoTCP, len(tcp)), tcp))
	return packet
}

// buildICMP returns a packet with an ICMP error about the quoted packet: RFC 792,
// and RFC 4443 section 3, which covers the addresses by its checksum.
func buildICMP(src, dst netip.Addr, kind, code byte, quoted []byte) []byte {
	proto, sum := byte(protoICMP), uint32(0)
	if src.Is6() {
		proto = protoICMPv6
		sum = pseudo(src, dst, proto, lenICMP+len(quoted))
	}
	packet, icmp := buildIP(src, dst, proto, lenICMP+len(quoted))
	icmp[0], icmp[1] = kind, code
	copy(icmp[lenICMP:], quoted)
	binary.BigEndian.PutUint16(icmp[2:], checksum(sum, icmp))
	return packet
}

// buildIP returns a packet with its header, and the part of it that is left for
// what it carries.
func buildIP(src, dst netip.Addr, proto byte, length int) (packet, payload []byte) {
	if src.Is4() {
		packet = make([]byte, len4+length)
		packet[0] = 4<<4 | len4/4
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		packet[8], packet[9] = hops, proto
		copy(packet[12:], src.AsSlice())
		copy(packet[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(packet[10:], checksum(0, packet[:len4]))
		return packet, packet[len4:]
	}
	packet = make([]byte, len6+length)
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(length))
	packet[6], packet[7] = proto, hops
	copy(packet[8:], src.AsSlice())
	copy(packet[24:], dst.AsSlice())
	return packet, packet[len6:]
}

// checksum returns the Internet checksum (RFC 1071) of what was summed up before
// and these bytes. Of bytes that hold their own checksum it is 0.
func checksum(sum uint32, b []byte) uint16 {
	for len(b) > 1 {
		sum += uint32(b[0])<<8 | uint32(b[1])
		b = b[2:]
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// pseudo sums up the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudo(src, dst netip.Addr, proto byte, length int) uint32 {
	sum := uint32(proto) + uint32(length)
	for _, addr := range []netip.Addr{src, dst} {
		// The ffff before an IPv4 address in this form counts for nothing: in ones'
		// complement it is zero.
		b := addr.As16()
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return sum
}
