// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// linuxScans returns, for each engine that only Linux has, a function that scans with the
// default module of the engine's protocol and counts the ports by state and cause.
func linuxScans(t *testing.T) map[string]func(ctx context.Context, ports string, addrs ...netip.Addr) map[string]int {
	t.Helper()
	all := engines(t, Limits{})
	udp, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	scans := make(map[string]func(context.Context, string, ...netip.Addr) map[string]int)
	for name, e := range map[string]*Engine{"connect": all["connect"], "syn": all["syn"], "udp": udp} {
		scans[name] = func(ctx context.Context, ports string, addrs ...netip.Addr) map[string]int {
			spec := defaultSpec(ports)
			if name == "udp" {
				spec = udpSpec(ports)
			}
			return census(scanAll(ctx, t, e, testRequest(t, spec, addrs...)))
		}
	}
	return scans
}

// TestScanAbsentNeighborDeadline scans an on-link address that no host has, and an address
// behind a gateway that no host has, in less time than the kernel needs to report them
// unreachable: all ports must be unknown (no_route), and the scan must end at its deadline.
func TestScanAbsentNeighborDeadline(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}})[0]
	absent, gateway, behind := netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("203.0.113.7")
	host.RouteTo(t, absent)
	host.RouteTo(t, gateway)
	ip(t, "route", "add", "203.0.113.0/24", "via", gateway.String())
	const slack = 3 * time.Second // on a busy machine
	for name, scanned := range linuxScans(t) {
		for _, tc := range []struct {
			to     netip.Addr
			ports  string
			within time.Duration
		}{
			{absent, "1-20000", 1500 * time.Millisecond},
			{absent, "1-1000", 4 * time.Second},
			{behind, "1-10", 5 * time.Second},
			{behind, "1-2000", 2500 * time.Millisecond},
		} {
			ip(t, "neigh", "flush", "all")
			ctx, cancel := context.WithTimeout(t.Context(), tc.within)
			start := time.Now()
			got := scanned(ctx, tc.ports, tc.to)
			took := time.Since(start)
			cancel()
			set, _ := scan.ParsePortSet(tc.ports)
			if got["unknown no_route"] != set.Len() {
				t.Errorf("%s: states of ports %s of %v = %v, want %d unknown (no_route)", name, tc.ports, tc.to, got, set.Len())
			}
			if late := took - tc.within; late > slack {
				t.Errorf("%s: duration of the scan of ports %s of %v = %v, want at most %v", name, tc.ports, tc.to, took, tc.within+slack)
			}
		}
	}
}

// TestScanLateErrorOfDarkHost scans a dark host. For one port, a router sends a late ICMP error
// that the host is unreachable: all ports must be filtered, and the scan must end before its
// deadline.
func TestScanLateErrorOfDarkHost(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	target, router := netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.113.1")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(_ netip.Addr, port uint16, attempt int) testnet.Reply {
			if port == 1 && attempt == 1 {
				return testnet.Reply{Answer: testnet.RejectHost, From: router, Delay: 2 * time.Second}
			}
			return testnet.Reply{Answer: testnet.Drop}
		},
	})
	spec := defaultSpec("1-10000")
	spec.Rate = 5000
	spec.Expect = &scan.Expectation{Allow: scan.NewPortSet(1)} // scanned first
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := census(scanAll(ctx, t, testSYN(t, Limits{}), testRequest(t, spec, target)))
	if got["filtered silence"]+got["filtered icmp"] != 10000 || ctx.Err() != nil {
		t.Errorf("states = %v, deadline: %v, want 10000 filtered (silence, icmp) before the deadline", got, ctx.Err())
	}
}
