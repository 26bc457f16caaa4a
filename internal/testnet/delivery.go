package testnet

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// usableWithin is how long a new interface may take until it carries packets.
const usableWithin = 10 * time.Second

// delivers tells whether the kernel takes packets for these addresses, in the
// namespace of that process. An IPv6 address that was given to an interface may
// wait for its route a little longer.
func delivers(tb testing.TB, pid int, addrs ...netip.Addr) bool {
	tb.Helper()
	const isLocal = 0x8000_0000
	local := make(map[string]bool)
	for _, fields := range rows(tb, fmt.Sprintf("/proc/%d/net/ipv6_route", pid)) {
		// Destination first, flags last but for the interface.
		if len(fields) != 10 {
			continue
		}
		flags, err := strconv.ParseUint(fields[8], 16, 32)
		if err != nil {
			tb.Fatal(err)
		}
		local[fields[0]] = local[fields[0]] || flags&isLocal != 0
	}
	for _, addr := range addrs {
		if addr.Is6() && !local[hex.EncodeToString(addr.AsSlice())] {
			return false
		}
	}
	return true
}

// await waits until a new interface is ready for use.
func await(tb testing.TB, what string, ready func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(usableWithin); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s carries nothing after %v", what, usableWithin)
		}
	}
}
