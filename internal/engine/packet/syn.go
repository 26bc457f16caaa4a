// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package packet

import (
	"encoding/binary"
	"net/netip"
)

// The header fields of all SYNs, with the values of a Linux host on Ethernet.
const (
	hops   = 64
	window = 64_240 // bytes
	mss4   = 1460   // maximum segment size over IPv4
	mss6   = 1440   // maximum segment size over IPv6, whose header is 20 bytes longer
)

// The maximum segment size option (RFC 9293 sections 3.2 and 3.7.1).
const (
	optionMSS    = 2
	optionMSSLen = 4
	segmentLen   = headerTCP + optionMSSLen
)

// AppendSYN appends an IP packet with a SYN from local to remote (RFC 9293 section 3.1)
// to b and returns the extended slice: 44 bytes for IPv4 (RFC 791 section 3.1), 64 for
// IPv6 (RFC 8200 section 3). All checksums are filled in. The identification of an IPv4
// packet is 0, which Linux replaces with IP_HDRINCL and which is valid for packets that
// must not be fragmented (RFC 6864 section 4.1).
//
// IPv4-mapped IPv6 addresses are unmapped and zones ignored. If the addresses have
// different versions or one is invalid, AppendSYN returns b. It does not allocate if b
// has enough capacity.
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

// putHeader4 fills in a zeroed IPv4 header.
func putHeader4(b []byte, from, to [4]byte) {
	b[0] = 4<<4 | header4/wordLen
	binary.BigEndian.PutUint16(b[2:], header4+segmentLen)
	binary.BigEndian.PutUint16(b[6:], dontFragment)
	b[8], b[9] = hops, protocolTCP
	copy(b[12:], from[:])
	copy(b[16:], to[:])
	binary.BigEndian.PutUint16(b[10:], ^foldSum(sumBytes(b)))
}

// putHeader6 fills in a zeroed IPv6 header.
func putHeader6(b []byte, from, to [16]byte) {
	b[0] = 6 << 4
	binary.BigEndian.PutUint16(b[4:], segmentLen)
	b[6], b[7] = protocolTCP, hops
	copy(b[8:], from[:])
	copy(b[24:], to[:])
}

// putSYN fills in a zeroed TCP header. The checksum needs the addresses of the IP
// header.
func putSYN(b, addresses []byte, ports, sequence uint32, mss uint16) {
	binary.BigEndian.PutUint32(b, ports)
	binary.BigEndian.PutUint32(b[4:], sequence)
	b[12], b[13] = segmentLen/wordLen<<4, flagSYN
	binary.BigEndian.PutUint16(b[14:], window)
	b[20], b[21] = optionMSS, optionMSSLen
	binary.BigEndian.PutUint16(b[22:], mss)
	binary.BigEndian.PutUint16(b[16:], ^foldSum(sumPseudoHeader(addresses, protocolTCP, segmentLen)+sumBytes(b)))
}
