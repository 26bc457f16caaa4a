// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import "slices"

// coap requests the first 16 bytes of the resource list (RFC 6690 section 4, RFC
// 7959 section 2.2). The block option is critical, so a server that does not support
// it returns an error instead of the complete list (RFC 7252 section 5.4.1).
func coap() []byte {
	const (
		confirmable = 0x40 // version 1, type 0, no token (RFC 7252 section 3)
		get         = 0x01 // RFC 7252 section 12.1.1

		uriPath    = 11 // RFC 7252 section 5.10
		block2     = 23 // RFC 7959 section 2.1
		wellKnown  = ".well-known"
		core       = "core"
		deltaShift = 4 // options have the difference to the previous number (RFC 7252 section 3.1)
	)
	return slices.Concat(
		[]byte{confirmable, get},
		filler(2), // message ID
		[]byte{uriPath<<deltaShift | byte(len(wellKnown))}, []byte(wellKnown),
		[]byte{byte(len(core))}, []byte(core),
		// Block 0 of size 16 has the value 0, which is encoded in zero bytes.
		[]byte{(block2 - uriPath) << deltaShift},
	)
}
