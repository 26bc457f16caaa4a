package payload

import "slices"

// ntp asks for the time (RFC 5905 section 7.3). Nothing in a client's packet but
// the mode means anything to a server, which sends the last timestamp back.
func ntp() []byte {
	const (
		version, client = 4, 3
		length          = 48
		transmit        = 40 // where the transmit timestamp is
	)
	packet := make([]byte, length)
	packet[0] = version<<3 | client // leap indicator 0
	copy(packet[transmit:], letters(8))
	return packet
}

// stun asks for our own address, as a server sees it (RFC 8489 sections 2, 5).
func stun() []byte {
	const binding, cookie = 1, 0x2112a442
	return slices.Concat(
		u16(binding), // a request
		u16(0),       // length: no attribute
		u32(cookie),
		letters(12), // transaction ID
	)
}

// coap asks for the list of resources (RFC 6690 section 4), in pieces of 16 bytes
// and the first of them only (RFC 7959 section 2.2). Who does not know such pieces
// must say so, instead of sending all (RFC 7252 section 5.4.1).
func coap() []byte {
	const (
		confirmable = 0x40 // version 1, type 0, no token (RFC 7252 section 3)
		get         = 0x01 // RFC 7252 section 12.1.1

		uriPath    = 11 // RFC 7252 section 5.10
		block2     = 23 // RFC 7959 section 2.1
		wellKnown  = ".well-known"
		core       = "core"
		deltaShift = 4 // of the number, from the option before (RFC 7252 section 3.1)
	)
	return slices.Concat(
		[]byte{confirmable, get},
		letters(2), // message ID
		[]byte{uriPath<<deltaShift | byte(len(wellKnown))}, []byte(wellKnown),
		[]byte{byte(len(core))}, []byte(core),
		// Block 0 of size 16 is 0, which is said by no byte at all.
		[]byte{(block2 - uriPath) << deltaShift},
	)
}

func portmapper() []byte {
	const program, version = 100_000, 2 // RFC 1833 section 3
	return rpcNull(program, version)
}

func nfs() []byte {
	const program, version = 100_003, 3 // RFC 1813 section 2
	return rpcNull(program, version)
}

// rpcNull calls the procedure of a program that does nothing and is always there
// (RFC 5531 section 12.1). A program that has no such version says so.
func rpcNull(program, version uint32) []byte {
	const rpcVersion = 2
	return slices.Concat( // RFC 5531 section 9
		letters(4), // xid
		u32(0),     // CALL
		u32(rpcVersion),
		u32(program),
		u32(version),
		u32(0),         // procedure
		u32(0), u32(0), // credentials: AUTH_NONE, of no length (section 10.1)
		u32(0), u32(0), // verifier: the same
	)
}

// rmcp asks whether somebody manages this machine by remote control (ASF 2.0
// sections 3.2.2, 3.2.4: Presence Ping). It comes before any session.
func rmcp() []byte {
	const (
		version, noAck, classASF = 6, 0xff, 6
		enterpriseASF            = 4542 // IANA's "Private Enterprise Numbers"
		ping                     = 0x80
	)
	return slices.Concat(
		[]byte{version, 0, noAck, classASF},
		u32(enterpriseASF),
		[]byte{ping, 'p', 0, 0}, // type, tag, reserved, length of data
	)
}

// rip asks for one route, the one to everywhere (RFC 2453 section 3.9.1, 4). The
// answer is as long as the question; the whole table would be asked for by an
// address family of 0.
func rip() []byte {
	const (
		request, version = 1, 2
		inet             = 2
		infinity         = 16
	)
	return slices.Concat(
		[]byte{request, version, 0, 0},
		u16(inet), u16(0), // address family, route tag
		u32(0), u32(0), u32(0), // destination, mask, next hop
		u32(infinity), // metric
	)
}

// natpmp asks a gateway for its address on the outside (RFC 6886 section 3.2). A
// server of PCP alone says that it does not know this version (RFC 6887 section
// 9).
func natpmp() []byte {
	const version, externalAddress = 0, 0
	return []byte{version, externalAddress}
}
