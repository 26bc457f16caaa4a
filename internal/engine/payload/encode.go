// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"encoding/binary"
	"slices"
	"strings"
)

// senderName identifies the sender in payloads.
const senderName = "portscan_exporter"

// senderHost is a host name that cannot exist (RFC 6761 section 6.4).
const senderHost = "portscan-exporter.invalid"

// filler returns n letters of the sender's name, repeated as needed.
func filler(n int) []byte {
	return []byte(strings.Repeat(senderName, n/len(senderName)+1)[:n])
}

// u8, u16, u24 and u32 return a number in network byte order. The numbers are small
// constants and lengths.
func u8(n int) []byte { return []byte{byte(n)} } //nolint:gosec // see above

func u16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) } //nolint:gosec // see above

// u24 is for numbers below 65536.
func u24(n int) []byte { return slices.Concat([]byte{0}, u16(n)) }

func u32(n uint32) []byte { return binary.BigEndian.AppendUint32(nil, n) }

// crlfLines returns lines of text that end with CRLF, followed by an empty line.
func crlfLines(all ...string) []byte {
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n")
}
