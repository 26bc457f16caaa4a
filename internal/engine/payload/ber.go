// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// The tags of ASN.1 types (X.690 section 8.1.2).
const (
	berBoolean         = 0x01
	berInteger         = 0x02
	berBitString       = 0x03
	berOctetString     = 0x04
	berNull            = 0x05
	berOID             = 0x06
	berEnumerated      = 0x0a
	berGeneralizedTime = 0x18
	berGeneralString   = 0x1b
	berSequence        = 0x30

	berApplication = 0x60 // [APPLICATION n], constructed
	berContext     = 0xa0 // [n], constructed
	berPrimitive   = 0x80 // [n], primitive
)

// requestID is the request ID of SNMP, CLDAP and Kerberos messages.
const requestID = 'p'<<8 | 's'

// ber returns a value in the basic encoding rules of ASN.1 (X.690): tag, length and
// content. The content must be shorter than 256 bytes.
func ber(tag byte, content ...[]byte) []byte {
	const long = 0x81 // the length is in the next byte (X.690 section 8.1.3.5)
	all := slices.Concat(content...)
	if len(all) < 128 {
		return slices.Concat([]byte{tag}, u8(len(all)), all)
	}
	return slices.Concat([]byte{tag, long}, u8(len(all)), all)
}

// berInt returns an INTEGER in the shortest form (X.690 section 8.3.2).
func berInt(n uint32) []byte {
	b := slices.Concat([]byte{0}, u32(n))
	for len(b) > 1 && b[0] == 0 && b[1] < 128 {
		b = b[1:]
	}
	return ber(berInteger, b)
}

// berString returns an OCTET STRING.
func berString(s string) []byte { return ber(berOctetString, []byte(s)) }
