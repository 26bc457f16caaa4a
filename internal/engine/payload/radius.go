// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // RFC 2869 defines no other
	"slices"
)

// radius is a Status-Server request (RFC 5997 section 3). A server ignores unknown
// clients and wrong secrets (RFC 5997 section 4.2); this secret is FreeRADIUS's
// default.
func radius() []byte {
	const (
		statusServer         = 12 // RFC 5997 section 3
		messageAuthenticator = 80 // RFC 2869 section 5.14
		secret               = "testing123"
		header, attribute    = 20, 2 + md5.Size
	)
	packet := slices.Concat( // RFC 2865 section 3
		[]byte{statusServer, 'p'}, // code, identifier
		u16(header+attribute),
		filler(16), // request authenticator
		[]byte{messageAuthenticator, attribute},
		make([]byte, md5.Size), // zero while the packet is signed
	)
	mac := hmac.New(md5.New, []byte(secret))
	mac.Write(packet)
	return mac.Sum(packet[:header+2])
}
