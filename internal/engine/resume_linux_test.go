// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// TestScanDonePorts requires that a scan neither tries nor reports ports that an earlier part of it
// has reported, with each method.
func TestScanDonePorts(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	second := netip.MustParseAddr("192.0.2.11")
	testnet.AddAddress(t, target4)
	testnet.AddAddress(t, second)
	for _, method := range []scan.Method{scan.Connect, scan.SYN} {
		spec := testSpec("1-100")
		spec.Method = method
		done := scan.NewPortSet(1, 2, 3, 50)
		req := testRequest(t, spec, target4, second).WithDone(map[netip.Addr]scan.PortSet{target4: done})
		var mu sync.Mutex
		reported := make(map[netip.Addr]scan.PortSet)
		attempts := 0
		e, err := map[scan.Method]func(*Budget) (*Engine, error){scan.Connect: NewConnect, scan.SYN: NewSYN}[method](testBudget(t, Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		err = e.Scan(context.WithoutCancel(t.Context()), req, func(r scan.PortResult) {
			mu.Lock()
			defer mu.Unlock()
			attempts += r.Attempts
			ports := scan.NewPortSet(r.Port)
			if r.Ports != nil {
				ports = *r.Ports
			}
			reported[r.Address] = reported[r.Address].Union(ports)
		})
		e.Close()
		all := req.Plan().Ports()
		if err != nil || !reported[target4].Equal(all.Minus(done)) || !reported[second].Equal(all) {
			t.Errorf("%v: Scan() = %v, reported %v and %v, want all ports without %v, and all", method, err, reported[target4], reported[second], done)
		}
		if attempts < 196 || attempts > 230 { // canaries
			t.Errorf("%v: got %d attempts, want about 196", method, attempts)
		}
	}
}
