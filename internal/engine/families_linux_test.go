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
