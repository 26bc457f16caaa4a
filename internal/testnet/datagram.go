// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"encoding/binary"
	"net/netip"
)

// lenUDP is the length of a UDP header.
const lenUDP = 8

// datagram is a received UDP datagram.
type datagram struct {
	src, dst netip.AddrPort
	data     []byte // must not be retained
	packet   []byte // the IP packet, must not be retained
}

// parseUDP parses a datagram (RFC 768). It is not intact if its checksum or a length is
// wrong. The checksum is optional only with IPv4 (RFC 8200 section 8.1).
func parseUDP(p *ipPacket) (d datagram, intact bool) {
	udp := p.payload()
	if len(udp) < lenUDP {
		return datagram{}, false
	}
	length := int(binary.BigEndian.Uint16(udp[4:]))
	if length < lenUDP || length > len(udp) {
		return datagram{}, false
	}
	udp = udp[:length]
	unsummed := binary.BigEndian.Uint16(udp[6:]) == 0
	if unsummed && p.src.Is6() || !unsummed && checksum(pseudoHeaderSum(p.src, p.dst, protoUDP, length), udp) != 0 {
		return datagram{}, false
	}
	return datagram{
		src:    netip.AddrPortFrom(p.src, binary.BigEndian.Uint16(udp)),
		dst:    netip.AddrPortFrom(p.dst, binary.BigEndian.Uint16(udp[2:])),
		data:   udp[lenUDP:],
		packet: p.packet,
	}, true
}

// buildUDP returns a packet with a datagram.
func buildUDP(src, dst netip.AddrPort, data []byte) []byte {
	packet, udp := buildIP(src.Addr(), dst.Addr(), protoUDP, lenUDP+len(data))
	binary.BigEndian.PutUint16(udp, src.Port())
	binary.BigEndian.PutUint16(udp[2:], dst.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(len(udp)))
	copy(udp[lenUDP:], data)
	sum := checksum(pseudoHeaderSum(src.Addr(), dst.Addr(), protoUDP, len(udp)), udp)
	if sum == 0 {
		sum = 0xffff // equal in ones' complement, 0 means no checksum
	}
	binary.BigEndian.PutUint16(udp[6:], sum)
	return packet
}
