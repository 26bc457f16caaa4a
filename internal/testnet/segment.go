// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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
	window = 64_240 // receive window
)

// segment is a received TCP segment.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    byte
	data     int    // number of bytes
	packet   []byte // the IP packet, must not be retained
	header   int    // number of bytes before the segment
}

// has reports whether all the flags are set.
func (s *segment) has(flags byte) bool { return s.flags&flags == flags }

// next returns the sequence number after the segment. SYN and FIN count as a byte.
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

// forged returns a copy with a wrong sequence number, as an off-path attacker would send.
func (s *segment) forged() *segment {
	const (
		off   = 1 << 30 // outside of any window
		field = 4       // of the TCP header
	)
	copied := *s
	copied.packet = slices.Clone(s.packet)
	copied.seq += off
	binary.BigEndian.PutUint32(copied.packet[s.header+field:], copied.seq)
	return &copied
}

// parseTCP parses a segment (RFC 9293 section 3.1). It is not intact if its checksum or a
// length is wrong.
func parseTCP(p *ipPacket) (s segment, intact bool) {
	tcp := p.payload()
	if len(tcp) < lenTCP {
		return segment{}, false
	}
	offset := int(tcp[12]>>4) * 4
	if offset < lenTCP || offset > len(tcp) || checksum(pseudoHeaderSum(p.src, p.dst, protoTCP, len(tcp)), tcp) != 0 {
		return segment{}, false
	}
	return segment{
		src:    netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(tcp)),
		dst:    netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(tcp[2:])),
		seq:    binary.BigEndian.Uint32(tcp[4:]),
		ack:    binary.BigEndian.Uint32(tcp[8:]),
		flags:  tcp[13],
		data:   len(tcp) - offset,
		packet: p.packet,
		header: p.header,
	}, true
}

// buildTCP returns a packet with a segment without options and data.
func buildTCP(src, dst netip.AddrPort, seq, ack uint32, flags byte, window uint16) []byte {
	packet, tcp := buildIP(src.Addr(), dst.Addr(), protoTCP, lenTCP)
	binary.BigEndian.PutUint16(tcp, src.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12] = lenTCP / 4 << 4
	tcp[13] = flags
	binary.BigEndian.PutUint16(tcp[14:], window)
	binary.BigEndian.PutUint16(tcp[16:], checksum(pseudoHeaderSum(src.Addr(), dst.Addr(), protoTCP, len(tcp)), tcp))
	return packet
}

// breakChecksum changes the checksum of a packet of [buildTCP].
func breakChecksum(packet []byte) {
	const field = 16 // of the TCP header
	packet[len(packet)-lenTCP+field] ^= 0x55
}
