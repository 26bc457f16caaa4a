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

// fastest are the engines at the kernel's speed, UDP's among them, each with its
// protocol's default module.
func fastest(t *testing.T) map[string]func(ctx context.Context, ports string, addrs ...netip.Addr) map[string]int {
	t.Helper()
	all := engines(t, Limits{})
	udp, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	scans := make(map[string]func(context.Context, string, ...netip.Addr) map[string]int)
	for name, e := range map[string]*Engine{"epoll": all["epoll"], "syn": all["syn"], "udp": udp} {
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

// TestAbsentAndShortOfTime scans an address that nobody has, and one behind a gateway
// that nobody is, with less time than the kernel takes to say so: nothing is known,
// whatever was silent, and the scan is over when its time is.
func TestAbsentAndShortOfTime(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four}})[0]
	absent, gateway, behind := netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("203.0.113.7")
	host.RouteTo(t, absent)
	host.RouteTo(t, gateway)
	ip(t, "route", "add", "203.0.113.0/24", "via", gateway.String())
	for name, scanned := range fastest(t) {
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
			begun := time.Now()
			got := scanned(ctx, tc.ports, tc.to)
			took := time.Since(begun)
			cancel()
			set, _ := scan.ParsePortSet(tc.ports)
			if got["unknown no_route"] != set.Len() {
				t.Errorf("%s, %v, ports %s: %v", name, tc.to, tc.ports, got)
			}
			if late := took - tc.within; late > time.Second {
				t.Errorf("%s, %v, ports %s: %v late", name, tc.to, tc.ports, late)
			}
		}
	}
}

// TestOneLateErrorInTheDark has a router say of one port of a dark host, and late, that
// there is no such host: the scan ends as if it had not.
func TestOneLateErrorInTheDark(t *testing.T) {
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
	spec.Expect = &scan.Expectation{Allow: scan.NewPortSet(1)} // the first to be tried
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	got := census(scanAll(ctx, t, testSYN(t, Limits{}), testRequest(t, spec, target)))
	if got["filtered silence"]+got["filtered icmp"] != 10000 || ctx.Err() != nil {
		t.Errorf("%v, and the time was up: %v", got, ctx.Err())
	}
}
