// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// rip requests the default route (RFC 2453 sections 3.9.1, 4). The response is as
// long as the request. An address family of 0 would request the complete table.
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
