package payload

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2869 has no other
	"slices"
)

// dtls says hello for DTLS 1.2 without a cookie, which is answered by
// HelloVerifyRequest before a server keeps anything (RFC 6347 section 4.2.1); a
// server without cookies says hello back, and one of version 1.3 alone asks for
// another hello or says why not (RFC 9147 section 5.1).
func dtls() []byte {
	const (
		handshake   = 22 // RFC 5246 section 6.2.1
		clientHello = 1  // RFC 5246 section 7.4
	)
	hello := slices.Concat(
		[]byte{0xfe, 0xfd}, // DTLS 1.2 (RFC 6347 section 4.1)
		letters(32),        // random
		[]byte{0, 0},       // lengths of session ID and cookie
		vector16(dtlsSuites()),
		[]byte{1, 0}, // compression: none
		vector16(dtlsExtensions()),
	)
	message := slices.Concat( // RFC 6347 section 4.2.2
		[]byte{clientHello},
		u24(len(hello)),
		u16(0),          // message_seq
		u24(0),          // fragment_offset
		u24(len(hello)), // fragment_length
		hello,
	)
	return slices.Concat( // RFC 6347 section 4.1
		[]byte{handshake},
		[]byte{0xfe, 0xff}, // DTLS 1.0, as long as nothing is agreed (RFC 5246 appendix E.1)
		u16(0),             // epoch
		make([]byte, 6),    // sequence_number
		vector16(message),
	)
}

// dtlsSuites are the suites that most servers have one of (RFC 5289, 5288, 7251,
// 6655); the last two are those of CoAP (RFC 7252 section 9.1.3).
func dtlsSuites() []byte {
	return []byte{
		0xc0, 0x2b, // TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
		0xc0, 0x2f, // TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
		0x00, 0x9c, // TLS_RSA_WITH_AES_128_GCM_SHA256
		0x00, 0x2f, // TLS_RSA_WITH_AES_128_CBC_SHA
		0xc0, 0xae, // TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8
		0xc0, 0xa8, // TLS_PSK_WITH_AES_128_CCM_8
	}
}

// dtlsExtensions are those without which a server has no suite to choose.
func dtlsExtensions() []byte {
	const groups, points, signatures = 10, 11, 13
	return slices.Concat(
		// secp256r1, x25519 (RFC 8422 section 5.1.1).
		u16(groups), vector16(vector16([]byte{0, 23, 0, 29})),
		// Uncompressed (RFC 8422 section 5.1.2).
		u16(points), vector16([]byte{1, 0}),
		// SHA-256 and SHA-1, each with ECDSA and RSA (RFC 5246 section 7.4.1.4.1).
		u16(signatures), vector16(vector16([]byte{4, 3, 4, 1, 2, 3, 2, 1})),
	)
}

// vector16 puts a length of two bytes before some bytes (RFC 5246 section 4.3).
func vector16(b []byte) []byte { return slices.Concat(u16(len(b)), b) }

// u24 is a number of three bytes, which here is below 65536.
func u24(n int) []byte { return slices.Concat([]byte{0}, u16(n)) }

// quic begins a connection in a version that is there to be unknown, which a
// server answers by the versions it has, out of hand (RFC 9000 sections 6.1, 15;
// RFC 8999 section 5.1). Behind the connection IDs every version has a layout of
// its own; this is version 1's (RFC 9000 section 17.2.2), for those who look.
func quic() []byte {
	const (
		size     = 1200   // a shorter one is dropped (RFC 9000 sections 5.2.2, 14.1)
		twoBytes = 0x4000 // marks a length of two bytes (RFC 9000 section 16)
	)
	header := slices.Concat(
		[]byte{0xc0},                   // long header, fixed bit, Initial
		[]byte{0x1a, 0x2a, 0x3a, 0x4a}, // a version as 0x?a?a?a?a (RFC 9000 section 15)
		[]byte{8}, letters(8),          // destination connection ID; the shortest there is (section 7.2)
		[]byte{0}, // source connection ID: none
		[]byte{0}, // token: none
	)
	rest := size - len(header) - 2
	return slices.Concat(header, u16(twoBytes|rest), make([]byte, rest))
}

// radius asks a server whether it is alive, which changes nothing (RFC 5997
// section 3). A server answers only clients it knows, and silently drops the rest
// (RFC 5997 section 4.2); the secret is a guess, the one that FreeRADIUS comes with.
func radius() []byte {
	const (
		statusServer         = 12 // RFC 5997 section 3
		messageAuthenticator = 80 // RFC 2869 section 5.14
		secret               = "testing123"
		header, attribute    = 20, 2 + md5.Size
	)
	packet := slices.Concat( // RFC 2865 section 3
		[]byte{statusServer, 'p'}, // code, identifier
		u16(header+attribute),
		letters(16), // request authenticator
		[]byte{messageAuthenticator, attribute},
		make([]byte, md5.Size), // all zero while the whole packet is signed
	)
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(packet)
	return mac.Sum(packet[:header+2])
}
