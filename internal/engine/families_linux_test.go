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

// TestSourceOfOneFamily scans a host by both its addresses from a source of one
// family: the other family's ports are unknown for want of a route, long before the
// deadline, and the first family's are known.
func TestSourceOfOneFamily(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{four, six}, ICMPsPerSecond: -1, Ports: map[string]testnet.Answer{"22": testnet.Accept}})
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
			got := scanAll(ctx, t, e, testRequest(t, spec, four, six))
			if ctx.Err() != nil {
				t.Error("the scan waited for its deadline")
			}
			for at, r := range got {
				switch {
				case at.Addr() == four && r.State == scan.Unknown:
					t.Errorf("%v is unknown (%v)", at, r.Cause)
				case at.Addr() == six && (r.State != scan.Unknown || r.Cause != scan.CauseNoRoute):
					t.Errorf("%v is %v (%v), want unknown (%v)", at, r.State, r.Cause, scan.CauseNoRoute)
				}
			}
		})
	}
}
