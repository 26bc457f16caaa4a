// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import "encoding/binary"

// validSum is the result of [foldSum] for bytes that include their checksum.
const validSum = 0xffff

// sumBytes returns the sum of an Internet checksum in words of 32 bits, whose carries
// [foldSum] adds (RFC 1071 section 2). An odd length is padded with zero. It cannot
// overflow for fewer than 2^32 bytes.
func sumBytes(b []byte) uint64 {
	var s uint64
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	var rest [4]byte
	copy(rest[:], b)
	return s + uint64(binary.BigEndian.Uint32(rest[:]))
}

// foldSum adds the carries to the lower 16 bits. The checksum is the complement.
func foldSum(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// sumPseudoHeader returns the sum of the pseudo header of TCP and ICMPv6: both
// addresses of the IP header, protocol and payload length (RFC 9293 section 3.1, RFC
// 8200 section 8.1).
func sumPseudoHeader(addresses []byte, protocol byte, length uint16) uint64 {
	return sumBytes(addresses) + uint64(protocol) + uint64(length)
}
