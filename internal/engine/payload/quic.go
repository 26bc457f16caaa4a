// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// quic is an Initial packet of a reserved version, which a server answers with a
// Version Negotiation packet (RFC 9000 sections 6.1, 15; RFC 8999 section 5.1). The
// part behind the connection IDs depends on the version; it has the layout of
// version 1 (RFC 9000 section 17.2.2).
func quic() []byte {
	const (
		size     = 1200   // servers drop shorter packets (RFC 9000 sections 5.2.2, 14.1)
		twoBytes = 0x4000 // marks a length of two bytes (RFC 9000 section 16)
	)
	header := slices.Concat(
		[]byte{0xc0},                   // long header, fixed bit, Initial
		[]byte{0x1a, 0x2a, 0x3a, 0x4a}, // a reserved version (RFC 9000 section 15)
		[]byte{8}, filler(8),           // destination connection ID, of minimum length (section 7.2)
		[]byte{0}, // source connection ID: none
		[]byte{0}, // token: none
	)
	rest := size - len(header) - 2
	return slices.Concat(header, u16(twoBytes|rest), make([]byte, rest))
}
