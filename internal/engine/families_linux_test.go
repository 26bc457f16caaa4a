// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestScanSourceOfOneFamily scans an IPv4 and an IPv6 address of a host from an IPv4 source
// address. The ports of the IPv6 address must be unknown for lack of a route, those of the
// IPv4 address known, and the scan must end before its deadline.
func TestScanSourceOfOneFamily(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1, Ports: map[string]testnet.Answer{"22": testnet.Accept}})
	all := engines(t, Limits{})
	udp, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	all["udp"] = udp
	for name, e := range all {
		t.Run(name, func(t *testing.T) {
			spec := defaultSpec("20-60")
			if name == "udp" {
				spec = udpSpec("20-60")
			}
			spec.Source = netip.MustParseAddr("198.51.100.254")
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			got := scanAll(ctx, t, e, testRequest(t, spec, target4, target6))
			if ctx.Err() != nil {
				t.Error("the scan ended at its deadline, want before")
			}
			for at, r := range got {
				switch {
				case at.Addr() == target4 && r.State == scan.Unknown:
					t.Errorf("state of %v = unknown (%v), want a known one", at, r.Cause)
				case at.Addr() == target6 && (r.State != scan.Unknown || r.Cause != scan.CauseNoRoute):
					t.Errorf("state of %v = %v (%v), want unknown (%v)", at, r.State, r.Cause, scan.CauseNoRoute)
				}
			}
		})
	}
}

// TestScanWithoutFamily scans both addresses of a dual-stack host on a machine without one of the
// families: without a route, with a route but only a link-local source address, and with IPv6
// disabled. Before any attempt, all ports of that family must be unknown for lack of a route. The
// ports of the other family, and of a loopback address, must be closed.
func TestScanWithoutFamily(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1})
	link := linkName(t)
	loopback4, loopback6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	for _, step := range []struct {
		name      string
		prepare   []string // of ip(8)
		lacking   netip.Addr
		reachable []netip.Addr
	}{
		{"no IPv6 route", []string{
			"-6 route del " + target6.String() + " dev " + link,
			"-6 address flush scope global dev " + link,
		}, target6, []netip.Addr{target4, loopback6}},
		{"no global IPv6 address", []string{"-6 route add default via fe80::1 dev " + link}, target6, []netip.Addr{target4, loopback6}},
		{"IPv6 disabled", nil, target6, []netip.Addr{target4}},
		{"no IPv4 route", []string{
			"-6 address add " + scannerAddress6 + "/128 dev " + link + " nodad",
			"-6 route add " + target6.String() + " dev " + link,
			"-4 route del " + target4.String() + " dev " + link,
		}, target4, []netip.Addr{target6, loopback4}},
		{"no IPv4 address", []string{
			"-4 address flush dev " + link,
			"-4 route add " + target4.String() + " dev " + link,
		}, target4, []netip.Addr{target6, loopback4}},
	} {
		disabled := "0"
		if step.name == "IPv6 disabled" {
			disabled = "1"
		}
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte(disabled), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, line := range step.prepare {
			ip(t, line)
		}
		for name, e := range allEngines(t) {
			wantUnroutable(t, name+", "+step.name, e, testRequest(t, specFor(name, "20-40"), append(step.reachable, step.lacking)...), step.lacking)
		}
	}
}

// scannerAddress6 is the scanner's address on the links to test hosts.
const scannerAddress6 = "2001:db8:ffff::fe"

// wantUnroutable requires that the first report of a scan has all ports of one address, to which
// this machine cannot send, without an attempt, and that the ports of the others are closed.
func wantUnroutable(t *testing.T, name string, e *Engine, req scan.Request, lacking netip.Addr) {
	t.Helper()
	var mu sync.Mutex
	var reports []scan.PortResult
	err := e.Scan(t.Context(), req, func(r scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		reports = append(reports, r)
	})
	if err != nil {
		t.Fatal(err)
	}
	ports := req.Plan().Ports().Len()
	first := reports[0]
	if first.Address != lacking || first.Count() != ports || first.Cause != scan.CauseNoRoute || !first.Unroutable || first.Attempts != 0 {
		t.Errorf("%s: first report = %+v, want %d unroutable ports (no_route) of %v", name, first, ports, lacking)
	}
	closed := 0
	for _, r := range reports[1:] {
		switch {
		case r.State == scan.Closed:
			closed += r.Count()
		case r.Count() > 0:
			t.Errorf("%s: state of %d ports of %v = %v (%v), want closed", name, r.Count(), r.Address, r.State, r.Cause)
		}
	}
	if want := ports * (len(req.Addresses()) - 1); closed != want {
		t.Errorf("%s: closed ports = %d, want %d", name, closed, want)
	}
}
