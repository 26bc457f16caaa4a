// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestSlowPortAmongRouterErrors scans addresses with one slow open port. For all other ports a
// router sends ICMP errors at once. Their round trips must not shorten the timeout of attempts
// at the address: its slow port must be open.
func TestSlowPortAmongRouterErrors(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	const slow = 7
	router := map[bool]netip.Addr{true: netip.MustParseAddr("203.0.113.1"), false: netip.MustParseAddr("2001:db8:7::1")}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:7::/64")},
		Reply: func(addr netip.Addr, port uint16, _ int) testnet.Reply {
			if port == slow {
				return testnet.Reply{Answer: testnet.Accept, Delay: 700 * time.Millisecond}
			}
			return testnet.Reply{Answer: testnet.RejectHost, From: router[addr.Is4()]}
		},
	})
	withEach(t, Limits{}, func(t *testing.T, e *Engine) {
		t.Helper()
		for _, target := range []string{"203.0.113.10", "2001:db8:7::10"} {
			addr := netip.MustParseAddr(target)
			results := scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-500"), addr))
			if got := results[netip.AddrPortFrom(addr, slow)]; got.State != scan.Open {
				t.Errorf("state of the open port of %v = %v (%v), want open", addr, got.State, got.Cause)
			}
		}
	})
}
