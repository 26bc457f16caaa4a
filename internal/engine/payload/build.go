package payload

import (
	"encoding/binary"
	"slices"
	"strings"
)

// from is whom every payload comes from.
const from = "portscan_exporter"

// letters returns the first n letters of our name, said as often as it takes.
func letters(n int) []byte {
	return []byte(strings.Repeat(from, n/len(from)+1)[:n])
}

// u8, u16 and u32 return a number in the byte order of networks. Those of lengths
// have them far below what fits.
func u8(n int) []byte { return []byte{byte(n)} } //nolint:gosec // see above

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) } //nolint:gosec // see above

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// The tags of ASN.1 types (X.690 section 8.1.2).
const (
	berBoolean     = 0x01
	berInteger     = 0x02
	berBitString   = 0x03
	berOctetString = 0x04
	berNull        = 0x05
	berOID         = 0x06
	berEnumerated  = 0x0a
	berSequence    = 0x30
	berGeneral     = 0x1b // GeneralString
	berTime        = 0x18 // GeneralizedTime

	berApplication = 0x60 // [APPLICATION n], constructed
	berContext     = 0xa0 // [n], constructed
	berPrimitive   = 0x80 // [n], primitive
)

// ber returns a value in the basic encoding rules of ASN.1 (X.690), which the
// distinguished ones are part of: its tag, its length, and what it is made of.
// The lengths that occur here are below 256.
func ber(tag byte, content ...[]byte) []byte {
	const long = 0x81 // the length is in one byte that follows (X.690 section 8.1.3.5)
	all := slices.Concat(content...)
	if len(all) < 128 {
		return slices.Concat([]byte{tag}, u8(len(all)), all)
	}
	return slices.Concat([]byte{tag, long}, u8(len(all)), all)
}

// berInt returns an INTEGER as short as its value allows (X.690 section 8.3.2).
func berInt(n uint32) []byte {
	b := slices.Concat([]byte{0}, u32(n))
	for len(b) > 1 && b[0] == 0 && b[1] < 128 {
		b = b[1:]
	}
	return ber(berInteger, b)
}

// berString returns an OCTET STRING.
func berString(s string) []byte { return ber(berOctetString, []byte(s)) }
