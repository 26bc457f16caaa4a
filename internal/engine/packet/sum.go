package packet

import "encoding/binary"

// intact is what [fold] makes of bytes that hold their own right checksum.
const intact = 0xffff

// sum adds up bytes for an Internet checksum. Words of 32 bits do as well as those
// of 16, as long as the carries are added in the end (RFC 1071 section 2). An odd
// length counts as if a zero followed. For fewer than 2^32 bytes it cannot overflow.
func sum(b []byte) uint64 {
	var s uint64
	for ; len(b) >= 4; b = b[4:] {
		s += uint64(binary.BigEndian.Uint32(b))
	}
	var rest [4]byte
	copy(rest[:], b)
	return s + uint64(binary.BigEndian.Uint32(rest[:]))
}

// fold adds the carries to the lower 16 bits. The checksum is the complement.
func fold(s uint64) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// pseudo adds up the pseudo header that TCP and ICMPv6 count in: both addresses
// as they stand in the IP header, the protocol and the length of what the packet
// carries (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudo(addresses []byte, protocol byte, length uint16) uint64 {
	return sum(addresses) + uint64(protocol) + uint64(length)
}
