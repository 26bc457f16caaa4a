// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// memcached requests the version (memcached's protocol.txt, "UDP protocol" and
// "version").
func memcached() []byte {
	return slices.Concat(
		filler(2),      // request ID
		u16(0), u16(1), // sequence number, number of datagrams
		u16(0), // reserved
		[]byte("version\r\n"),
	)
}
