// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

// interfaceTimeout is the maximum time until a new interface is up.
const interfaceTimeout = 10 * time.Second

// hasLocalRoutes reports whether the kernel accepts packets for the addresses in the
// namespace of the process. The route of a new IPv6 address is added with a delay.
func hasLocalRoutes(tb testing.TB, pid int, addrs ...netip.Addr) bool {
	tb.Helper()
	const isLocal = 0x8000_0000
	local := make(map[string]bool)
	for _, fields := range readRows(tb, fmt.Sprintf("/proc/%d/net/ipv6_route", pid)) {
		// The first field is the destination, the last but one the flags.
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

// waitUntil waits until a new interface is ready.
func waitUntil(tb testing.TB, name string, ready func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(interfaceTimeout); !ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("%s is not ready after %v", name, interfaceTimeout)
		}
	}
}
