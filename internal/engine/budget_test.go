// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// TestBounds holds the ceilings on what is under way: the module's to one
// address, and everybody's.
func TestBounds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		module, budget, want int
	}{
		"module": {module: 7, budget: 100, want: 7},
		"budget": {module: 1000, budget: 16, want: 14}, // an eighth is kept for scans that have few
	} {
		synctest.Test(t, func(t *testing.T) {
			var inFlight, most atomic.Int64
			d := testDial(t, Limits{MaxInFlight: tc.budget})
			d.system = network(func(context.Context, uint16, int) error {
				if n := inFlight.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(20 * time.Millisecond) // answers within the first wait
				inFlight.Add(-1)
				return refused()
			}).system()
			spec := testSpec("1-300")
			spec.MaxInFlight = tc.module
			scanAll(t.Context(), t, d, testRequest(t, spec, home))
			if got := int(most.Load()); got != tc.want {
				t.Errorf("%s: %d attempts were under way at once, want %d", name, got, tc.want)
			}
		})
	}
}

// TestRates holds the ceilings on packets a second.
func TestRates(t *testing.T) {
	t.Parallel()
	other := netip.MustParseAddr("192.0.2.2")
	for name, tc := range map[string]struct {
		module, budget int
		want           time.Duration // for 200 ports on each of two addresses
	}{
		"module": {module: 100, want: 2 * time.Second},
		"budget": {budget: 100, want: 4 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := testDial(t, Limits{Rate: tc.budget})
			d.system = network(func(context.Context, uint16, int) error { return refused() }).system()
			spec := testSpec("1-200")
			spec.Rate = tc.module
			begun := time.Now()
			scanAll(t.Context(), t, d, testRequest(t, spec, home, other))
			if took := time.Since(begun); took < tc.want-20*time.Millisecond || took > tc.want+100*time.Millisecond {
				t.Errorf("%s: took %v, want %v", name, took, tc.want)
			}
		})
	}
}

// TestRateBeyondTheDeadline leaves the ports whose turn would come too late
// unknown.
func TestRateBeyondTheDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(context.Context, uint16, int) error { return refused() }).system()
		spec := testSpec("1-1000")
		spec.Rate = 100
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := census(scanAll(ctx, t, d, testRequest(t, spec, home)))
		if known := got["closed rst"]; known < 90 || known > 110 || known+got["unknown deadline"] != 1000 {
			t.Errorf("at 100 a second for a second: %v", got)
		}
	})
}

func TestLimitsMove(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{MaxInFlight: 5, Rate: 100})
	b.SetLimits(Limits{MaxInFlight: 9})
	if got := b.Stats().Limit; got != 9 {
		t.Errorf("the limit is %d, want 9", got)
	}
	b.SetLimits(Limits{})
	if got := b.Stats().Limit; got != descriptorLimit() {
		t.Errorf("the limit is %d, want what descriptors allow, %d", got, descriptorLimit())
	}
	b.SetLimits(Limits{MaxInFlight: 1 << 30})
	if got := b.Stats().Limit; got != descriptorLimit() {
		t.Errorf("the limit is %d, above what descriptors allow, %d", got, descriptorLimit())
	}
}

func TestDescriptorReserve(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[int]int{64: 32, 256: 128, 1024: 256, 20000: 1000, 1 << 20: 52428} {
		if got := descriptorReserve(descriptors); got != want {
			t.Errorf("of %d descriptors %d are kept back, want %d", descriptors, got, want)
		}
	}
}

// TestPlacesKeptBack has a scan take all the places that it can get: one that
// joins later finds some free at once, and then those that the first gives back.
func TestPlacesKeptBack(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{MaxInFlight: 80})
	take := func(s *share) (n int) {
		for s.take() {
			n++
		}
		return n
	}
	huge, small := b.join(scan.TCP, 65535, 10000), b.join(scan.TCP, 20, 10000)
	if got := take(huge); got != 70 {
		t.Errorf("a huge scan takes %d of 80 places, want all but an eighth", got)
	}
	if got := take(small); got != 10 {
		t.Errorf("a small scan finds %d places, want 10 at once", got)
	}
	if got := huge.owes(); got != 30 {
		t.Errorf("the huge scan owes %d, want what it has above its even part, 30", got)
	}
	for range 30 {
		huge.give()
	}
	if got := take(small); got != 20 {
		t.Errorf("the small scan takes %d more, want 20: an eighth stays free for others", got)
	}
	if places, last := huge.leave(); places != 40 || last {
		t.Errorf("the huge scan leaves with %d places, the last: %v", places, last)
	}
	if places, last := small.leave(); places != 30 || !last || b.Stats().InFlight != 0 {
		t.Errorf("the small scan leaves with %d places, the last: %v; %d are in use", places, last, b.Stats().InFlight)
	}
}

// TestNeighboursBeginInTurns has no more addresses begun at once than a kernel's
// table of unknown neighbours holds, and all of them in the end.
func TestNeighboursBeginInTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		begun := make(map[netip.Addr]time.Duration)
		start := time.Now()
		d := testDial(t, Limits{})
		d.system = &dialer{dial: func(_ context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
			mu.Lock()
			if _, ok := begun[to.Addr()]; !ok {
				begun[to.Addr()] = time.Since(start)
			}
			mu.Unlock()
			time.Sleep(20 * time.Millisecond)
			return nil, refused()
		}}
		addrs := []netip.Addr{netip.MustParseAddr("192.0.2.0")}
		for len(addrs) < 256 {
			addrs = append(addrs, addrs[len(addrs)-1].Next())
		}
		if got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-40"), addrs...))); got["closed rst"] != 256*40 {
			t.Errorf("%v", got)
		}
		early := 0
		for at := range maps.Values(begun) {
			if at < startSpan {
				early++
			}
		}
		if early == 0 || early > startTogether || len(begun) != 256 {
			t.Errorf("%d of %d addresses were begun within %v", early, len(begun), startSpan)
		}
	})
}
