// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// dtls is a ClientHello of DTLS 1.2 without a cookie. A server answers with a
// HelloVerifyRequest and keeps no state (RFC 6347 section 4.2.1), a server without
// cookies with a ServerHello, and a server of DTLS 1.3 with a HelloRetryRequest or an
// alert (RFC 9147 section 5.1).
func dtls() []byte {
	const (
		handshake   = 22 // RFC 5246 section 6.2.1
		clientHello = 1  // RFC 5246 section 7.4
	)
	hello := slices.Concat(
		[]byte{0xfe, 0xfd}, // DTLS 1.2 (RFC 6347 section 4.1)
		filler(32),         // random
		[]byte{0, 0},       // lengths of session ID and cookie
		tlsVector(dtlsSuites()),
		[]byte{1, 0}, // compression: none
		tlsVector(dtlsExtensions()),
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
		[]byte{0xfe, 0xff}, // DTLS 1.0 until a version is negotiated (RFC 5246 appendix E.1)
		u16(0),             // epoch
		make([]byte, 6),    // sequence_number
		tlsVector(message),
	)
}

// dtlsSuites returns cipher suites of which most servers support one (RFC 5289,
// 5288, 7251, 6655). The last two are CoAP's (RFC 7252 section 9.1.3).
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

// dtlsExtensions returns the extensions that servers need to select a suite.
func dtlsExtensions() []byte {
	const groups, points, signatures = 10, 11, 13
	return slices.Concat(
		// secp256r1, x25519 (RFC 8422 section 5.1.1).
		u16(groups), tlsVector(tlsVector([]byte{0, 23, 0, 29})),
		// Uncompressed (RFC 8422 section 5.1.2).
		u16(points), tlsVector([]byte{1, 0}),
		// SHA-256 and SHA-1, each with ECDSA and RSA (RFC 5246 section 7.4.1.4.1).
		u16(signatures), tlsVector(tlsVector([]byte{4, 3, 4, 1, 2, 3, 2, 1})),
	)
}

// tlsVector returns b with its length in two bytes before it (RFC 5246 section 4.3).
func tlsVector(b []byte) []byte { return slices.Concat(u16(len(b)), b) }
