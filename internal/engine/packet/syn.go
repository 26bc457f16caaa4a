package packet

import (
	"encoding/binary"
	"net/netip"
)

// What our SYNs say, the same in each: what a usual Linux host says over Ethernet.
const (
	hops   = 64     // the routers that a packet may cross
	window = 64_240 // the bytes that we would accept
	mss4   = 1460   // the bytes that we would accept in a segment over IPv4
	mss6   = 1440   // the same over IPv6, whose header is 20 bytes longer
)

// The option for the maximum segment size (RFC 9293 sections 3.2 and 3.7.1).
const (
	optionMSS    = 2
	optionMSSLen = 4
	segmentLen   = headerTCP + optionMSSLen
)

// AppendSYN appends a whole IP packet with a SYN from local to remote (RFC 9293
// section 3.1) to b and returns the longer slice: 44 bytes with an IPv4 header (RFC
// 791 section 3.1), 64 with an IPv6 header (RFC 8200 section 3). All checksums are
// filled in. The identification of an IPv4 packet is 0, so that Linux fills it in
// where it is sent with IP_HDRINCL; it must not be fragmented, so 0 is right
// elsewhere too (RFC 6864 section 4.1).
//
// An IPv4-mapped IPv6 address counts as the IPv4 address in it, and a zone for
// nothing. Where one address is IPv4 and the other IPv6, or one is invalid, b comes
// back as it was. It allocates nothing if b has room, and may be called concurrently
// with different b.
func AppendSYN(b []byte, local, remote netip.AddrPort, sequence uint32) []byte {
	from, to := local.Addr().Unmap(), remote.Addr().Unmap()
	ports := uint32(local.Port())<<16 | uint32(remote.Port())
	start := len(b)
	switch {
	case from.Is4() && to.Is4():
		b = append(b, make([]byte, header4+segmentLen)...)
		header, tcp := b[start:start+header4], b[start+header4:]
		putHeader4(header, from.As4(), to.As4())
		putSYN(tcp, header[12:], ports, sequence, mss4)
	case from.Is6() && to.Is6():
		b = append(b, make([]byte, header6+segmentLen)...)
		header, tcp := b[start:start+header6], b[start+header6:]
		putHeader6(header, from.As16(), to.As16())
		putSYN(tcp, header[8:], ports, sequence, mss6)
	}
	return b
}

// putHeader4 fills in an IPv4 header that is all zeros.
func putHeader4(b []byte, from, to [4]byte) {
	b[0] = 4<<4 | header4/unit
	binary.BigEndian.PutUint16(b[2:], header4+segmentLen)
	binary.BigEndian.PutUint16(b[6:], dontFragment)
	b[8], b[9] = hops, protocolTCP
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], ^fold(sum(b)))
}

// putHeader6 fills in an IPv6 header that is all zeros.
func putHeader6(b []byte, from, to [16]byte) {
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], segmentLen)
	b[6], b[7] = protocolTCP, hops
	copy(b[8:], from[:])
	copy(b[24:], to[:])
}

// putSYN fills in a TCP header that is all zeros. The addresses are those of the IP
// header, for the checksum.
func putSYN(b, addresses []byte, ports, sequence uint32, mss uint16) {
	binary.BigEndian.PutUint32(b, ports)
	binary.BigEndian.PutUint32(b[4:], sequence)
	b[12], b[13] = segmentLen/unit<<4, flagSYN
	binary.BigEndian.PutUint16(b[14:], window)
	b[20], b[21] = optionMSS, optionMSSLen
	binary.BigEndian.PutUint16(b[22:], mss)
	binary.BigEndian.PutUint16(b[16:], ^fold(pseudo(addresses, protocolTCP, segmentLen)+sum(b)))
}
