// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"encoding/binary"
	"net/netip"
)

// IP protocol numbers.
const (
	protoICMP   = 1
	protoTCP    = 6
	protoUDP    = 17
	protoICMPv6 = 58
)

// Lengths of headers without options.
const (
	len4    = 20
	len6    = 40
	lenICMP = 8
)

// hopLimit is the TTL or hop limit of sent packets.
const hopLimit = 64

// The maximum lengths of packets with ICMP errors (RFC 1812 section 4.3.2.3, RFC 4443 section
// 2.4). They quote as much of the packet that caused them as fits.
const (
	maxError4 = 576
	maxError6 = 1280
)

// ipPacket is a received IP packet.
type ipPacket struct {
	src, dst netip.Addr
	proto    byte   // protocol number; 0: not an IP packet
	packet   []byte // must not be retained
	header   int    // length of the header
}

// payload returns the packet's payload.
func (p *ipPacket) payload() []byte { return p.packet[p.header:] }

// parseIP parses a packet. It is not intact if its checksum or a length is wrong.
func parseIP(packet []byte) (p ipPacket, intact bool) {
	switch {
	case len(packet) >= len4 && packet[0]>>4 == 4:
		return parse4(packet)
	case len(packet) >= len6 && packet[0]>>4 == 6:
		return parse6(packet)
	default:
		return ipPacket{}, false
	}
}

// parse4 parses an IPv4 packet (RFC 791 section 3.1).
func parse4(packet []byte) (p ipPacket, intact bool) {
	header := int(packet[0]&15) * 4
	total := int(binary.BigEndian.Uint16(packet[2:]))
	if header < len4 || total > len(packet) || total < header || checksum(0, packet[:header]) != 0 {
		return ipPacket{proto: packet[9]}, false
	}
	return ipPacket{
		src:   netip.AddrFrom4([4]byte(packet[12:])),
		dst:   netip.AddrFrom4([4]byte(packet[16:])),
		proto: packet[9], packet: packet[:total], header: header,
	}, true
}

// parse6 parses an IPv6 packet (RFC 8200 section 3) without extension headers.
func parse6(packet []byte) (p ipPacket, intact bool) {
	total := len6 + int(binary.BigEndian.Uint16(packet[4:]))
	if total > len(packet) {
		return ipPacket{proto: packet[6]}, false
	}
	return ipPacket{
		src:   netip.AddrFrom16([16]byte(packet[8:])),
		dst:   netip.AddrFrom16([16]byte(packet[24:])),
		proto: packet[6], packet: packet[:total], header: len6,
	}, true
}

// buildICMP returns a packet with an ICMP error that quotes a packet (RFC 792, RFC 4443
// section 3, whose checksum includes the addresses).
func buildICMP(src, dst netip.Addr, kind, code byte, quoted []byte) []byte {
	proto, sum := byte(protoICMP), uint32(0)
	maxQuoted := maxError4 - len4 - lenICMP
	if src.Is6() {
		maxQuoted = maxError6 - len6 - lenICMP
	}
	quoted = quoted[:min(len(quoted), maxQuoted)]
	if src.Is6() {
		proto = protoICMPv6
		sum = pseudoHeaderSum(src, dst, proto, lenICMP+len(quoted))
	}
	packet, icmp := buildIP(src, dst, proto, lenICMP+len(quoted))
	icmp[0], icmp[1] = kind, code
	copy(icmp[lenICMP:], quoted)
	binary.BigEndian.PutUint16(icmp[2:], checksum(sum, icmp))
	return packet
}

// buildIP returns a packet with its header, and the part of it for the payload.
func buildIP(src, dst netip.Addr, proto byte, length int) (packet, payload []byte) {
	if src.Is4() {
		packet = make([]byte, len4+length)
		packet[0] = 4<<4 | len4/4
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)))
		packet[8], packet[9] = hopLimit, proto
		copy(packet[12:], src.AsSlice())
		copy(packet[16:], dst.AsSlice())
		binary.BigEndian.PutUint16(packet[10:], checksum(0, packet[:len4]))
		return packet, packet[len4:]
	}
	packet = make([]byte, len6+length)
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(length))
	packet[6], packet[7] = proto, hopLimit
	copy(packet[8:], src.AsSlice())
	copy(packet[24:], dst.AsSlice())
	return packet, packet[len6:]
}

// checksum returns the Internet checksum (RFC 1071) of the bytes, starting with sum. It is 0
// for bytes that include their correct checksum.
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

// pseudoHeaderSum returns the sum of the pseudo header (RFC 9293 section 3.1, RFC 768, RFC 8200
// section 8.1).
func pseudoHeaderSum(src, dst netip.Addr, proto byte, length int) uint32 {
	sum := uint32(proto) + uint32(length)
	for _, addr := range []netip.Addr{src, dst} {
		// The ffff of an IPv4-mapped address is zero in ones' complement.
		b := addr.As16()
		for i := 0; i < len(b); i += 2 {
			sum += uint32(b[i])<<8 | uint32(b[i+1])
		}
	}
	return sum
}
