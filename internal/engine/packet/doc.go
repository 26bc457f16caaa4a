// Package packet writes the packets of a half-open scan and reads what comes
// back, for IPv4 and IPv6. It knows no socket, no clock and no operating system:
// whoever uses it sends the bytes and hands in those that were received.
//
// The moving parts, a file each: [Key] (a sequence number that only who saw our
// SYN can know), [AppendSYN] (the packet that asks), [Parse] (what a packet that
// came in says about a SYN of ours), and [Filter4] and [Filter6] (programs by which
// the kernel drops nearly all other traffic before it reaches us).
//
// Parse tells what a packet claims. Whether it is true, the caller finds out by
// the sequence number: an [Answer] counts only where its Sequence is the one that
// the Key has for its Local and Remote.
package packet

// Numbers of protocols, as the headers of IP have them.
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

// unit is what the lengths in the headers of IPv4 and TCP count: 32-bit words.
const unit = 4

// Bits of the flags of a TCP header (RFC 9293 section 3.1).
const (
	flagFIN = 0x01
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// Bits of the field of an IPv4 header that is about fragments (RFC 791 section 3.1).
const (
	dontFragment   = 0x4000
	moreFragments  = 0x2000
	fragmentOffset = 0x1fff
)

// Types of ICMP errors, and the code of the one that is no verdict (RFC 792).
const (
	unreachable         = 3
	timeExceeded        = 11
	parameterProblem    = 12
	fragmentationNeeded = 4 // as the code of unreachable
)

// Types of ICMPv6 errors (RFC 4443 section 3). Type 2, "packet too big", is no
// verdict on a SYN.
const (
	unreachable6      = 1
	timeExceeded6     = 3
	parameterProblem6 = 4
)
