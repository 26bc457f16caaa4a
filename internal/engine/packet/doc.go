// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package packet implements the packet format of half-open scans for IPv4 and IPv6:
// it builds SYN packets and parses responses. It does not use sockets.
//
//   - [Key] computes sequence numbers that an off-path sender cannot guess.
//   - [AppendSYN] builds a SYN packet.
//   - [Parse] reads a received packet.
//   - [Filter4] and [Filter6] return socket filters that drop other traffic.
//   - [TranslatedFilter] returns a socket filter for sent packets that NAT changed.
//
// Parse does not authenticate. The caller must compare the Sequence of a [Response]
// with that of the Key for its Local and Remote.
package packet

// Protocol numbers of IP headers.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolICMPv6 = 58
)

// Lengths of headers in bytes, without options.
const (
	header4    = 20 // RFC 791 section 3.1
	header6    = 40 // RFC 8200 section 3
	headerTCP  = 20 // RFC 9293 section 3.1
	headerICMP = 8  // RFC 792, RFC 4443 section 3
)

// wordLen is the unit of the header lengths of IPv4 and TCP in bytes.
const wordLen = 4

// Flags of a TCP header (RFC 9293 section 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// Bits of the fragment field of an IPv4 header (RFC 791 section 3.1).
const (
	dontFragment   = 0x4000
	moreFragments  = 0x2000
	fragmentOffset = 0x1fff
)

// Types of ICMP errors, and the code of the one that is ignored (RFC 792).
const (
	unreachable         = 3
	timeExceeded        = 11
	parameterProblem    = 12
	fragmentationNeeded = 4 // as the code of unreachable
)

// Types of ICMPv6 errors (RFC 4443 section 3). Type 2, "packet too big", is
// ignored.
const (
	unreachable6      = 1
	timeExceeded6     = 3
	parameterProblem6 = 4
)
