// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The connection states in the kernel's table.
const (
	established = "01"
	synReceived = "03"
)

// HalfOpen returns the number of half-open connections to the host: its kernel has answered a
// SYN, and no ACK was received. A scanner that resets its half-open connections leaves none.
//
// Connections that fill the backlogs of [BacklogFull] are not included. While connections
// are opened and closed, the number is approximate.
func (r *RunningHost) HalfOpen(tb testing.TB) int {
	tb.Helper()
	return r.countConnections(tb, synReceived)
}

// Established returns the number of established connections to the host, with the limits of
// [RunningHost.HalfOpen].
func (r *RunningHost) Established(tb testing.TB) int {
	tb.Helper()
	return r.countConnections(tb, established)
}

// countConnections returns the number of connections of the host's addresses in the state.
func (r *RunningHost) countConnections(tb testing.TB, state string) int {
	tb.Helper()
	ours := make([]string, 0, 2*len(r.host.Addrs))
	for _, addr := range r.host.Addrs {
		mapped := addr.As16()
		ours = append(ours, tableAddr(addr.AsSlice()), tableAddr(mapped[:]))
	}
	n := 0
	for _, name := range []string{"tcp", "tcp6"} {
		for _, fields := range readRows(tb, fmt.Sprintf("/proc/%d/net/%s", r.process.pid(), name)) {
			// Number, local address and port, remote address and port, state. The IPv4
			// connections of dual-stack listeners are in the IPv6 table.
			if len(fields) < 4 || fields[3] != state {
				continue
			}
			if at, _, _ := strings.Cut(fields[1], ":"); slices.Contains(ours, at) {
				n++
			}
		}
	}
	return n
}

// tableAddr returns an address in the format of the kernel's table: hexadecimal numbers of four
// bytes in native byte order.
func tableAddr(addr []byte) string {
	var b strings.Builder
	for word := range slices.Chunk(addr, 4) {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(word))
	}
	return b.String()
}
