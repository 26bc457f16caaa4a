package testnet

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// The states of connections in the kernel's table.
const (
	established = "01"
	synReceived = "03"
)

// HalfOpen returns how many connections the host's kernel holds half open: it has
// answered a SYN, and the ACK is yet to come. A scanner that resets what it has
// found open leaves none.
//
// Only what was addressed to the host counts, not what fills the backlogs of
// [BacklogFull]. While connections come and go the number is about right.
func (r *RunningHost) HalfOpen(tb testing.TB) int {
	tb.Helper()
	return r.connections(tb, synReceived)
}

// Established returns how many connections to the host are established, with
// what is said at [RunningHost.HalfOpen].
func (r *RunningHost) Established(tb testing.TB) int {
	tb.Helper()
	return r.connections(tb, established)
}

// connections counts those in a state that are at an address of the host's.
func (r *RunningHost) connections(tb testing.TB, state string) int {
	tb.Helper()
	ours := make([]string, 0, 2*len(r.host.Addrs))
	for _, addr := range r.host.Addrs {
		mapped := addr.As16()
		ours = append(ours, inTable(addr.AsSlice()), inTable(mapped[:]))
	}
	n := 0
	for _, name := range []string{"tcp", "tcp6"} {
		for _, fields := range rows(tb, fmt.Sprintf("/proc/%d/net/%s", r.process.pid(), name)) {
			// Number, local address and port, those of the peer, state. A listener that
			// is for both families has its IPv4 connections in the table of IPv6.
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

// inTable writes an address as the kernel's table does: in hexadecimal, every
// four bytes as a number in the order of this machine.
func inTable(addr []byte) string {
	var b strings.Builder
	for word := range slices.Chunk(addr, 4) {
		fmt.Fprintf(&b, "%08X", binary.NativeEndian.Uint32(word))
	}
	return b.String()
}
