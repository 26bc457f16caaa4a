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

// TestFair has a scan of 20 ports beside one of 65,535 that takes all it can get:
// the small one takes no more than twice the time that it takes alone, and the
// huge one gets on. Time is made up, so that it is the sharing that is measured
// and not this machine.
func TestFair(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		limits Limits
		silent bool // the huge one's host
	}{
		"places, silence":  {limits: Limits{MaxInFlight: 200}, silent: true},
		"places, answers":  {limits: Limits{MaxInFlight: 200}},
		"few places":       {limits: Limits{MaxInFlight: 32}, silent: true},
		"packets, silence": {limits: Limits{MaxInFlight: 2000, Rate: 2000}, silent: true},
		"packets, answers": {limits: Limits{MaxInFlight: 2000, Rate: 2000}},
		"both":             {limits: Limits{MaxInFlight: 100, Rate: 1000}, silent: true},
	} {
		synctest.Test(t, func(t *testing.T) {
			alone := smallScans(t, tc.limits, nil)
			huge := func(ctx context.Context) error {
				if tc.silent {
					return silence(ctx)
				}
				time.Sleep(10 * time.Millisecond)
				return refused()
			}
			beside := smallScans(t, tc.limits, huge)
			t.Logf("%s: alone %v, beside a huge scan %v", name, alone, beside)
			if beside > 2*alone {
				t.Errorf("%s: a small scan takes %v beside a huge one, and %v alone", name, beside, alone)
			}
		})
	}
}

// smallScans returns how long the slowest of ten scans of 20 closed ports takes,
// beside a huge one to another address if there is to be one.
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
		begun := time.Now()
		if got := census(smallScan(t, d)); got["closed rst"] != 20 {
			t.Errorf("a small scan: %v", got)
		}
		slowest = max(slowest, time.Since(begun))
	}
	time.Sleep(time.Second)
	cancel()
	all.Wait()
	if huge != nil && d.budget.Stats().TCPAttempts < 500 {
		t.Errorf("the huge scan made %d attempts", d.budget.Stats().TCPAttempts)
	}
	return slowest
}

// smallScan scans 20 ports beside whatever else is under way.
func smallScan(t *testing.T, d *Engine) map[netip.AddrPort]scan.PortResult {
	t.Helper()
	var mu sync.Mutex
	ports := make(map[netip.AddrPort]scan.PortResult)
	err := d.Scan(t.Context(), testRequest(t, testSpec("1-20"), home), func(r scan.PortResult) {
		mu.Lock()
		defer mu.Unlock()
		ports[netip.AddrPortFrom(r.Address, r.Port)] = r
	})
	if err != nil {
		t.Error(err)
	}
	return ports
}
