// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// The initiator's SPI, or cookie (RFC 7296 section 2.6, RFC 2408 section 2.5.3). The
// ports have different ones, because an IKEv1 responder treats an equal message as a
// retransmission and would answer to the source of the first.
const (
	ikeSPI    = "portscan"
	ikeSPINAT = "exporter"
)

func ikev2() []byte { return ikev2Init(ikeSPI) }

func ikev1() []byte { return ikev1MainMode(ikeSPI) }

func ikev2NAT() []byte { return slices.Concat(ikeNATMarker(), ikev2Init(ikeSPINAT)) }

func ikev1NAT() []byte { return slices.Concat(ikeNATMarker(), ikev1MainMode(ikeSPINAT)) }

// ikeNATMarker returns the marker that distinguishes IKE from ESP at port 4500 (RFC
// 3948 section 2.2).
func ikeNATMarker() []byte { return u32(0) }

// ikeMessage returns a message of some payloads, the first of type next (RFC 7296
// section 3.1, RFC 2408 section 3.1).
func ikeMessage(spi string, next, version, exchange, flags byte, payloads ...[]byte) []byte {
	const length = 28
	body := slices.Concat(payloads...)
	return slices.Concat(
		[]byte(spi),     // initiator's SPI, or cookie
		make([]byte, 8), // responder's: none yet
		[]byte{next, version, exchange, flags},
		u32(0),                        // message ID
		u32(uint32(length+len(body))), //nolint:gosec // a few hundred bytes
		body,
	)
}

// ikePart returns a payload, a proposal or a transform of either version: type of the
// next one, length and content (RFC 7296 section 3.2, RFC 2408 section 3.2).
func ikePart(next byte, content ...[]byte) []byte {
	const header = 4
	all := slices.Concat(content...)
	return slices.Concat([]byte{next, 0}, u16(header+len(all)), all)
}

// ikev2Init is an IKE_SA_INIT request that no responder completes (RFC 7296 section
// 1.2). It offers common transforms with a key of a group for private use. A
// responder answers INVALID_KE_PAYLOAD or NO_PROPOSAL_CHOSEN (sections 1.2, 2.7),
// keeps no state and computes no key.
func ikev2Init(spi string) []byte {
	const (
		kindSA, kindKE, kindNonce = 33, 34, 40 // section 3.2
		version2                  = 0x20
		exchange                  = 34 // IKE_SA_INIT (section 3.1)
		initiator                 = 8
	)
	return ikeMessage(spi, kindSA, version2, exchange, initiator,
		ikePart(kindKE, ikev2Proposal()),
		ikePart(kindNonce, u16(ikePrivateGroup), u16(0), filler(32)), // section 3.4
		ikePart(0, filler(16)),                                       // section 3.9; the minimum length (section 2.10)
	)
}

// ikePrivateGroup is a Diffie-Hellman group for private use (RFC 7296 section 3.3.2).
const ikePrivateGroup = 0xfff0

// ikev2Proposal returns a proposal with its transforms (RFC 7296 sections 3.3.1 to
// 3.3.5).
func ikev2Proposal() []byte {
	const (
		protocolIKE                          = 1
		encryption, random, integrity, group = 1, 2, 3, 4
		more, last                           = 3, 0
	)
	bits := func(n int) []byte { return ikeAttribute(14, n) } // key length
	transforms := [][]byte{
		ikePart(more, []byte{encryption, 0}, u16(12), bits(256)), // AES-CBC
		ikePart(more, []byte{encryption, 0}, u16(12), bits(128)),
		ikePart(more, []byte{encryption, 0}, u16(3)), // 3DES
		ikePart(more, []byte{random, 0}, u16(5)),     // HMAC-SHA2-256
		ikePart(more, []byte{random, 0}, u16(2)),     // HMAC-SHA1
		ikePart(more, []byte{integrity, 0}, u16(12)), // HMAC-SHA2-256-128
		ikePart(more, []byte{integrity, 0}, u16(2)),  // HMAC-SHA1-96
		ikePart(more, []byte{group, 0}, u16(ikePrivateGroup)),
		ikePart(more, []byte{group, 0}, u16(31)), // Curve25519 (RFC 8031)
		ikePart(more, []byte{group, 0}, u16(19)), // ECP-256 (RFC 5903)
		ikePart(more, []byte{group, 0}, u16(14)), // MODP-2048 (RFC 3526)
		ikePart(last, []byte{group, 0}, u16(2)),  // MODP-1024
	}
	return ikePart(last,
		// Proposal 1, no SPI.
		[]byte{1, protocolIKE, 0}, u8(len(transforms)),
		slices.Concat(transforms...),
	)
}

// ikeAttribute returns an attribute with a value of two bytes (RFC 7296 section
// 3.3.5, RFC 2408 section 3.3).
func ikeAttribute(kind, value int) []byte {
	const short = 0x8000
	return slices.Concat(u16(short|kind), u16(value))
}

// ikev1MainMode is the first message of main mode (RFC 2409 section 5), which does
// not identify the sender. A responder that accepts keeps a few bytes until it times
// out; others return an error or are silent, so it offers transforms for as many as
// possible.
func ikev1MainMode(spi string) []byte {
	const (
		kindSA, kindTransform = 1, 3 // RFC 2408 section 3.1
		version1              = 0x10
		exchange              = 2 // "Identity Protection"
		protocolISAKMP        = 1 // RFC 2407 section 4.4.1
		last                  = 0
	)
	all := ikev1Suites()
	transforms := make([][]byte, 0, len(all))
	for i, attributes := range all {
		next := byte(kindTransform)
		if i == len(all)-1 {
			next = last
		}
		// Number, and KEY_IKE (RFC 2407 section 4.4.2).
		transforms = append(transforms, ikePart(next, u8(i+1), []byte{1, 0, 0}, attributes))
	}
	return ikeMessage(spi, kindSA, version1, exchange, 0, ikePart(last,
		u32(1), // DOI: IPsec (RFC 2407 section 4.2)
		u32(1), // situation: identity only
		ikePart(last, []byte{1, protocolISAKMP, 0}, u8(len(all)), slices.Concat(transforms...)),
	))
}

// ikev1Suites returns the attributes of each transform (RFC 2409 appendix A), the
// strongest first.
func ikev1Suites() [][]byte {
	const (
		tripleDES, aes = 5, 7 // AES: RFC 3602 section 5.1
		sha1, sha256   = 2, 4
		psk, rsa       = 1, 3
	)
	return [][]byte{
		ikev1Suite(aes, 256, sha256, psk, 14),
		ikev1Suite(aes, 256, sha256, rsa, 14),
		ikev1Suite(aes, 256, sha1, psk, 2),
		ikev1Suite(aes, 256, sha1, rsa, 2),
		ikev1Suite(aes, 128, sha1, psk, 2),
		ikev1Suite(aes, 128, sha1, rsa, 2),
		ikev1Suite(tripleDES, 0, sha1, psk, 2),
		ikev1Suite(tripleDES, 0, sha1, rsa, 2),
	}
}

// ikev1Suite returns the attributes of one transform with a lifetime of eight hours.
// bits is 0 for a cipher with a fixed key length.
func ikev1Suite(cipher, bits, hash, method, group int) []byte {
	var keyLength []byte
	if bits > 0 {
		keyLength = ikeAttribute(14, bits)
	}
	return slices.Concat(
		ikeAttribute(1, cipher),
		keyLength,
		ikeAttribute(2, hash),
		ikeAttribute(3, method),
		ikeAttribute(4, group),
		ikeAttribute(11, 1), // lifetime unit: seconds
		ikeAttribute(12, 28_800),
	)
}
