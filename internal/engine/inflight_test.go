// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// TestInFlight runs scans with and without a rate limit. The budget must count exactly the
// attempts that the network has in flight, although rate-limited scans hold many more places.
func TestInFlight(t *testing.T) {
	t.Parallel()
	for name, rate := range map[string]int{"rate limited": 5, "not limited": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { testInFlight(t, rate) })
		})
	}
}

// testInFlight compares the count with the network's, many times a second.
func testInFlight(t *testing.T, rate int) {
	t.Helper()
	const scans, seconds = 8, 3
	var inFlight atomic.Int64
	d := testDial(t, Limits{MaxInFlight: 2000})
	d.system = network(func(ctx context.Context, port uint16, _ int) error {
		inFlight.Add(1)
		defer inFlight.Add(-1)
		if port%2 == 0 && sleep(ctx, 30*time.Millisecond) {
			return refused()
		}
		return silence(ctx)
	}).system()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range byte(scans) {
		spec := testSpec("1-65535")
		spec.Rate = rate
		all.Go(func() {
			_ = d.Scan(ctx, testRequest(t, spec, netip.AddrFrom4([4]byte{192, 0, 2, i})), func(scan.PortResult) {})
		})
	}
	most := 0
	for range seconds * 97 {
		time.Sleep(time.Second/97 + time.Microsecond)
		synctest.Wait()
		got, want := d.budget.Stats().InFlight, int(inFlight.Load())
		if got != want {
			t.Errorf("Stats().InFlight = %d, want %d, the attempts in flight", got, want)
			break
		}
		most = max(most, got)
	}
	cancel()
	all.Wait()
	if got := d.budget.Stats().InFlight; got != 0 || most == 0 {
		t.Errorf("Stats().InFlight after the scans = %d, want 0; maximum = %d, want at least 1", got, most)
	}
	t.Logf("%d attempts in flight at most", most)
}
