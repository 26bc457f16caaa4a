package payload

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// nameTFTP is the name of the one payload whose answer comes from another port.
const nameTFTP = "tftp"

// Opcodes (RFC 1350 section 5, RFC 2347).
const (
	tftpRRQ   = 1
	tftpData  = 3
	tftpError = 5
	tftpOACK  = 6
)

// tftp asks to read a file that nobody has, which is answered by an ERROR (RFC
// 1350 sections 2, 5). Where there is such a file, its first 512 bytes come, until
// the server tires of waiting for our acknowledgment.
func tftp() []byte {
	return slices.Concat(u16(tftpRRQ), []byte(from+"\x00"+"octet\x00"))
}

// fromTFTPServer tells whether a packet is one by which a server may answer a
// request to read: an ERROR, the first DATA, or an OACK.
func fromTFTPServer(packet []byte) bool {
	const (
		header = 4   // opcode, and block or error code
		block  = 512 // of DATA at most, as we ask for no other size
	)
	if len(packet) < header {
		return false
	}
	switch binary.BigEndian.Uint16(packet) {
	case tftpData:
		return binary.BigEndian.Uint16(packet[2:]) == 1 && len(packet) <= header+block
	case tftpError:
		// The message ends in a zero, and has no other.
		return bytes.IndexByte(packet[header:], 0) == len(packet)-header-1 && len(packet) > header
	case tftpOACK:
		return isOACK(packet[2:])
	default:
		return false
	}
}

// isOACK tells whether the options of an OACK are pairs of strings, each with a
// zero behind it (RFC 2347).
func isOACK(options []byte) bool {
	zeros := bytes.Count(options, []byte{0})
	return zeros > 0 && zeros%2 == 0 && options[0] != 0 && options[len(options)-1] == 0
}
