package payload

import "slices"

// natMarker tells IKE from ESP at port 4500 (RFC 3948 section 2.2).
func natMarker() []byte { return u32(0) }

// The first of the two identifiers of an exchange (RFC 7296 section 2.6, RFC 2408
// section 2.5.3). A responder to version 1 takes a message that has the same one
// and the same content for the same message, and would send its answer to where
// the first has come from: at port 500.
const (
	spi    = "portscan"
	spiNAT = "exporter"
)

func ikev2() []byte { return saInit(spi) }

func ikev1() []byte { return mainMode(spi) }

func ikev2NAT() []byte { return slices.Concat(natMarker(), saInit(spiNAT)) }

func ikev1NAT() []byte { return slices.Concat(natMarker(), mainMode(spiNAT)) }

// ikeHeader puts the header before the payloads of a message, the first of which
// is of the kind next (RFC 7296 section 3.1, RFC 2408 section 3.1).
func ikeHeader(id string, next, version, exchange, flags byte, payloads ...[]byte) []byte {
	const length = 28
	body := slices.Concat(payloads...)
	return slices.Concat(
		[]byte(id),      // initiator's SPI, or cookie
		make([]byte, 8), // responder's: not known yet
		[]byte{next, version, exchange, flags},
		u32(0),                        // message ID
		u32(uint32(length+len(body))), //nolint:gosec // a few hundred bytes
		body,
	)
}

// ikePart is a payload, a proposal or a transform of either version: what kind the
// next one is, its own length, and what it holds (RFC 7296 section 3.2, RFC 2408
// section 3.2).
func ikePart(next byte, content ...[]byte) []byte {
	const header = 4
	all := slices.Concat(content...)
	return slices.Concat([]byte{next, 0}, u16(header+len(all)), all)
}

// saInit begins an exchange that no responder goes on with (RFC 7296 section 1.2).
// It offers what most accept, but its key is of a group for private use: one that
// accepts the rest asks for a key of another group (INVALID_KE_PAYLOAD), and one
// that does not says NO_PROPOSAL_CHOSEN (sections 1.2, 2.7). Neither keeps anything
// or computes a key.
func saInit(id string) []byte {
	const (
		kindSA, kindKE, kindNonce = 33, 34, 40 // section 3.2
		version2                  = 0x20
		exchange                  = 34 // IKE_SA_INIT (section 3.1)
		initiator                 = 8
	)
	return ikeHeader(id, kindSA, version2, exchange, initiator,
		ikePart(kindKE, ikev2Proposal()),
		ikePart(kindNonce, u16(privateGroup), u16(0), letters(32)), // section 3.4
		ikePart(0, letters(16)),                                    // section 3.9; the shortest there is (section 2.10)
	)
}

// privateGroup is a Diffie-Hellman group that nobody has (RFC 7296 section 3.3.2).
const privateGroup = 0xfff0

// ikev2Proposal is the one proposal of a security association (RFC 7296 sections
// 3.3.1 to 3.3.5): its transforms by type and number.
func ikev2Proposal() []byte {
	const (
		protocolIKE                          = 1
		encryption, random, integrity, group = 1, 2, 3, 4
		more, last                           = 3, 0
	)
	bits := func(n int) []byte { return ikeAttribute(14, n) } // of the key
	transforms := [][]byte{
		ikePart(more, []byte{encryption, 0}, u16(12), bits(256)), // AES-CBC
		ikePart(more, []byte{encryption, 0}, u16(12), bits(128)),
		ikePart(more, []byte{encryption, 0}, u16(3)), // 3DES
		ikePart(more, []byte{random, 0}, u16(5)),     // HMAC-SHA2-256
		ikePart(more, []byte{random, 0}, u16(2)),     // HMAC-SHA1
		ikePart(more, []byte{integrity, 0}, u16(12)), // HMAC-SHA2-256-128
		ikePart(more, []byte{integrity, 0}, u16(2)),  // HMAC-SHA1-96
		ikePart(more, []byte{group, 0}, u16(privateGroup)),
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

// ikeAttribute is an attribute whose value fits in two bytes (RFC 7296 section
// 3.3.5, RFC 2408 section 3.3).
func ikeAttribute(kind, value int) []byte {
	const short = 0x8000
	return slices.Concat(u16(short|kind), u16(value))
}

// mainMode is the first message of main mode (RFC 2409 section 5), which says what we
// could agree to and nothing of who we are. A responder that agrees keeps a few
// bytes about it until it tires of waiting for the next; who does not says so or
// is silent, which is why there is something for everybody.
func mainMode(id string) []byte {
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
	return ikeHeader(id, kindSA, version1, exchange, 0, ikePart(last,
		u32(1), // DOI: IPsec (RFC 2407 section 4.2)
		u32(1), // situation: identity only
		ikePart(last, []byte{1, protocolISAKMP, 0}, u8(len(all)), slices.Concat(transforms...)),
	))
}

// ikev1Suites are the attributes of each transform (RFC 2409 appendix A), the
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

// ikev1Suite is the attributes of one transform, for eight hours; a cipher whose
// key has but one length has 0 bits.
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
		ikeAttribute(11, 1), // the lifetime is in seconds
		ikeAttribute(12, 28_800),
	)
}
