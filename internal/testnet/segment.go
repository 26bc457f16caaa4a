package testnet

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

const (
	lenTCP = 20     // of a header without options
	window = 64_240 // of what we accept
)

// segment is a TCP segment that has arrived.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	data     int    // bytes of it
	packet   []byte // the IP packet, not to be kept
	header   int    // bytes of it before the segment
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
	binary.BigEndian.PutUint32(copied.packet[s.header+field:], copied.seq)
	return &copied
}

// parseTCP reads a segment (RFC 9293 section 3.1). It is not intact where a
// checksum or a length is wrong.
func parseTCP(p *ipPacket) (s segment, intact bool) {
	tcp := p.payload()
	if len(tcp) < lenTCP {
		return segment{}, false
	}
	offset := int(tcp[12]>>4) * 4
	if offset < lenTCP || offset > len(tcp) || checksum(pseudo(p.src, p.dst, protoTCP, len(tcp)), tcp) != 0 {
		return segment{}, false
	}
	return segment{
		src:    netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(tcp)),
		dst:    netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(tcp[2:])),
		seq:    binary.BigEndian.Uint32(tcp[4:]),
		ack:    binary.BigEndian.Uint32(tcp[8:]),
		flags:  tcp[13],
		data:   len(tcp) - offset,
		packet: p.whole,
		header: p.header,
	}, true
}

// buildTCP returns a packet with a segment that has neither options nor data.
func buildTCP(src, dst netip.AddrPort, seq, ack uint32, flags byte, window uint16) []byte {
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

// spoil makes the checksum of a packet that [buildTCP] has made wrong.
func spoil(packet []byte) {
	const field = 16 // of the TCP header
	packet[len(packet)-lenTCP+field] ^= 0x55
}
