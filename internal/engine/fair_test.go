// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// TestBudgetFairness runs scans of 20 ports at the same time as one of 65,535 ports, in fake
// time. A small scan must take at most twice as long as without the huge one, and the huge one
// must make progress.
func TestBudgetFairness(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limits Limits
		silent bool // the huge scan's host
	}{
		"places, silence":  {limits: Limits{MaxInFlight: 200}, silent: true},
		"places, answers":  {limits: Limits{MaxInFlight: 200}},
		"few places":       {limits: Limits{MaxInFlight: 32}, silent: true},
		"packets, silence": {limits: Limits{MaxInFlight: 2000, Rate: 2000}, silent: true},
		"packets, answers": {limits: Limits{MaxInFlight: 2000, Rate: 2000}},
		"both":             {limits: Limits{MaxInFlight: 100, Rate: 1000}, silent: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			undisturbed := smallScans(t, tc.limits, nil)
			huge := func(ctx context.Context) error {
				if tc.silent {
					return silence(ctx)
				}
				time.Sleep(10 * time.Millisecond)
				return refused()
			}
			concurrent := smallScans(t, tc.limits, huge)
			t.Logf("%s: %v without a huge scan, %v with it", name, undisturbed, concurrent)
			if concurrent > 2*undisturbed {
				t.Errorf("%s: duration of a small scan with a huge one = %v, want at most %v, twice that without", name, concurrent, 2*undisturbed)
			}
		})
	}
}

// smallScans returns the duration of the slowest of ten scans of 20 closed ports. Unless huge
// is nil, a huge scan of another address runs at the same time, whose attempts huge answers.
func smallScans(t *testing.T, l Limits, huge func(context.Context) error) (slowest time.Duration) {
	t.Helper()
	other := netip.MustParseAddr("192.0.2.2")
	d := testDial(t, l)
	d.system = network(func(ctx context.Context, port uint16, _ int) error {
		if port <= 20 {
			time.Sleep(20 * time.Millisecond)
			return refused()
		}
		return huge(ctx)
	}).system()
	var all sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	got := 0
	if huge != nil {
		spec := testSpec("21-65535")
		all.Go(func() {
			_ = d.Scan(ctx, testRequest(t, spec, other), func(r scan.PortResult) {
				if r.State != scan.Unknown {
					got++
				}
			})
		})
		time.Sleep(2 * time.Second)
	}
	for range 10 {
		time.Sleep(137 * time.Millisecond)
		start := time.Now()
		if got := census(smallScan(t, d)); got["closed rst"] != 20 {
			t.Errorf("states of a small scan = %v, want 20 closed (rst)", got)
		}
		slowest = max(slowest, time.Since(start))
	}
	time.Sleep(time.Second)
	cancel()
	all.Wait()
	if huge != nil && d.budget.Stats().TCPAttempts < 500 {
		t.Errorf("attempts of all scans = %d, want at least 500", d.budget.Stats().TCPAttempts)
	}
	return slowest
}

// smallScan scans 20 ports while other scans may run.
func smallScan(t *testing.T, d *Engine) map[netip.AddrPort]scan.PortResult {
	t.Helper()
	var mu sync.Mutex
	ports := make(map[netip.AddrPort]scan.PortResult)
	err := d.Scan(t.Context(), testRequest(t, testSpec("1-20"), target4), func(r scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		ports[netip.AddrPortFrom(r.Address, r.Port)] = r
	})
	if err != nil {
		t.Error(err)
	}
	return ports
}
