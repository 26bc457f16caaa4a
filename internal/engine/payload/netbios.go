// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"slices"
	"strings"
)

// netbios requests the status of the node, which lists its names (RFC 1002 section
// 4.2.17). Every node has the name "*".
func netbios() []byte {
	const (
		length  = 16   // of a name, padded with zeros (RFC 1001 section 14.1)
		typeNBS = 0x21 // NBSTAT (RFC 1002 section 4.2.1.2)
	)
	// Each half of a byte is a letter from A on: '*' is 0x2a.
	encoded := "CK" + strings.Repeat("AA", length-1)
	return slices.Concat(
		dnsHeader(),
		u8(len(encoded)), []byte(encoded), []byte{0}, // no scope
		u16(typeNBS), u16(dnsClassIN),
	)
}
