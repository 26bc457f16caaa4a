// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// stun is a binding request, which returns the client's address (RFC 8489 sections
// 2, 5).
func stun() []byte {
	const binding, cookie = 1, 0x2112a442
	return slices.Concat(
		u16(binding),
		u16(0), // length: no attributes
		u32(cookie),
		filler(12), // transaction ID
	)
}
