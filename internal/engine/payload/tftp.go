// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"encoding/binary"
	"slices"
)

const nameTFTP = "tftp"

// Opcodes (RFC 1350 section 5, RFC 2347).
const (
	tftpRRQ   = 1
	tftpData  = 3
	tftpError = 5
	tftpOACK  = 6
)

// tftp requests a file that does not exist, which returns an ERROR (RFC 1350 sections
// 2, 5). If the file exists, the server sends its first 512 bytes until it times out.
func tftp() []byte {
	return slices.Concat(u16(tftpRRQ), []byte(senderName+"\x00"+"octet\x00"))
}

// isTFTPReply reports whether a server may send the packet in answer to a read
// request: an ERROR, the first DATA, or an OACK.
func isTFTPReply(packet []byte) bool {
	const (
		header = 4   // opcode, and block or error code
		block  = 512 // default block size
	)
	if len(packet) < header {
		return false
	}
	switch binary.BigEndian.Uint16(packet) {
	case tftpData:
		return binary.BigEndian.Uint16(packet[2:]) == 1 && len(packet) <= header+block
	case tftpError:
		// The message ends in its only zero byte.
		return bytes.IndexByte(packet[header:], 0) == len(packet)-header-1 && len(packet) > header
	case tftpOACK:
		return isTFTPOptions(packet[2:])
	default:
		return false
	}
}

// isTFTPOptions reports whether the options of an OACK are pairs of zero-terminated
// strings (RFC 2347).
func isTFTPOptions(options []byte) bool {
	zeros := bytes.Count(options, []byte{0})
	return zeros > 0 && zeros%2 == 0 && options[0] != 0 && options[len(options)-1] == 0
}
