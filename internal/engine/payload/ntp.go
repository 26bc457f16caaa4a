// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

// ntp requests the time (RFC 5905 section 7.3). The server returns the transmit
// timestamp as origin timestamp and ignores the other fields except the mode.
func ntp() []byte {
	const (
		version, client = 4, 3
		length          = 48
		transmit        = 40 // offset of the transmit timestamp
	)
	packet := make([]byte, length)
	packet[0] = version<<3 | client // leap indicator 0
	copy(packet[transmit:], filler(8))
	return packet
}
