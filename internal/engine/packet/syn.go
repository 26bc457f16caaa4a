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

// synFields are header length, flags and window of the TCP header in one word.
const synFields = segmentLen/wordLen<<28 | flagSYN<<16 | window

// AppendSYN appends an IP packet with a SYN from local to remote (RFC 9293 section 3.1)
// to b and returns the extended slice: 44 bytes for IPv4 (RFC 791 section 3.1), 64 for
// IPv6 (RFC 8200 section 3). All checksums are filled in.
//
// The identification of an IPv4 packet and the flow label of an IPv6 packet are a hash of
// addresses and ports, see [TranslatedFilter]. All values are valid for packets that must
// not be fragmented (RFC 6864 section 4.1), and a hash is recommended for flow labels
// (RFC 6437 section 3).
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
		putHeader4(b[start:], from.As4(), to.As4(), ports)
		putSYN(b[start+header4:], b[start+addresses4:start+header4], sequence, mss4)
	case from.Is6() && to.Is6():
		b = append(b, make([]byte, header6+segmentLen)...)
		putHeader6(b[start:], from.As16(), to.As16(), ports)
		putSYN(b[start+header6:], b[start+addresses6:start+header6], sequence, mss6)
	}
	return b
}

// putHeader4 fills in a zeroed IPv4 header and the ports that follow.
func putHeader4(b []byte, from, to [4]byte, ports uint32) {
	b[0] = 4<<4 | header4/wordLen
	binary.BigEndian.PutUint16(b[2:], header4+segmentLen)
	binary.BigEndian.PutUint16(b[6:], dontFragment)
	b[8], b[9] = hops, protocolTCP
	copy(b[addresses4:], from[:])
	copy(b[addresses4+len(from):], to[:])
	binary.BigEndian.PutUint32(b[header4:], ports)
	binary.BigEndian.PutUint16(b[4:], uint16(hashTuple(b[addresses4:header4+wordLen])>>(32-idBits)))
	binary.BigEndian.PutUint16(b[10:], ^foldSum(sumBytes(b[:header4])))
}

// putHeader6 fills in a zeroed IPv6 header and the ports that follow.
func putHeader6(b []byte, from, to [16]byte, ports uint32) {
	copy(b[addresses6:], from[:])
	copy(b[addresses6+len(from):], to[:])
	binary.BigEndian.PutUint32(b[header6:], ports)
	binary.BigEndian.PutUint32(b, 6<<28|hashTuple(b[addresses6:header6+wordLen])>>(32-flowLabelBits))
	binary.BigEndian.PutUint16(b[4:], segmentLen)
	b[6], b[7] = protocolTCP, hops
}

// putSYN fills in a zeroed TCP header that has ports. The checksum needs the addresses of
// the IP header.
func putSYN(b, addresses []byte, sequence uint32, mss uint16) {
	binary.BigEndian.PutUint32(b[4:], sequence)
	binary.BigEndian.PutUint32(b[12:], synFields)
	b[20], b[21] = optionMSS, optionMSSLen
	binary.BigEndian.PutUint16(b[22:], mss)
	binary.BigEndian.PutUint16(b[16:], ^foldSum(sumPseudoHeader(addresses, protocolTCP, segmentLen)+sumBytes(b)))
}
