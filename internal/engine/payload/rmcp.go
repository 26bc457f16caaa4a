// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// rmcp is a presence ping, which needs no session (ASF 2.0 sections 3.2.2, 3.2.4).
func rmcp() []byte {
	const (
		version, noAck, classASF = 6, 0xff, 6
		enterpriseASF            = 4542 // IANA's Private Enterprise Numbers
		ping                     = 0x80
	)
	return slices.Concat(
		[]byte{version, 0, noAck, classASF},
		u32(enterpriseASF),
		[]byte{ping, 'p', 0, 0}, // type, tag, reserved, data length
	)
}
