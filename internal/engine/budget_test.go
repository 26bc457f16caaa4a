// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// TestMaxInFlight scans with a limit of attempts in flight to one address, and with one for
// all scans together. The largest number of attempts in flight must be the limit.
func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		module, budget, want int
	}{
		"module": {module: 7, budget: 100, want: 7},
		"budget": {module: 1000, budget: 16, want: 14}, // an eighth is reserved for scans that hold few places
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
			scanAll(t.Context(), t, d, testRequest(t, spec, target4))
			if got := int(most.Load()); got != tc.want {
				t.Errorf("%s: attempts in flight = %d, want %d", name, got, tc.want)
			}
		})
	}
}

// TestRateLimit scans with a limit of packets a second to each address, and with one for all
// scans together. The scan must take the time that the limit implies.
func TestRateLimit(t *testing.T) {
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
			start := time.Now()
			scanAll(t.Context(), t, d, testRequest(t, spec, target4, other))
			if took := time.Since(start); took < tc.want-20*time.Millisecond || took > tc.want+100*time.Millisecond {
				t.Errorf("%s: duration = %v, want %v", name, took, tc.want)
			}
		})
	}
}

// TestRateLimitBeyondDeadline scans 1,000 ports for a second at 100 packets a second: about
// 100 ports must be closed and all others unknown for lack of time.
func TestRateLimitBeyondDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(context.Context, uint16, int) error { return refused() }).system()
		spec := testSpec("1-1000")
		spec.Rate = 100
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := census(scanAll(ctx, t, d, testRequest(t, spec, target4)))
		if known := got["closed rst"]; known < 90 || known > 110 || known+got["unknown deadline"] != 1000 {
			t.Errorf("states = %v, want 90 to 110 closed (rst), the others unknown (deadline)", got)
		}
	})
}

// TestSetLimits changes the limits of a budget: the limit of attempts in flight must be the
// given one, or the number that descriptors allow if that is lower or none is given.
func TestSetLimits(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{MaxInFlight: 5, Rate: 100})
	b.SetLimits(Limits{MaxInFlight: 9})
	if got := b.Stats().Limit; got != 9 {
		t.Errorf("Stats().Limit = %d, want 9", got)
	}
	allowed := maxDescriptors() - descriptorReserve(maxDescriptors(), 0)
	b.SetLimits(Limits{})
	if got := b.Stats().Limit; got != allowed {
		t.Errorf("Stats().Limit without a limit = %d, want %d, as descriptors allow", got, allowed)
	}
	b.SetLimits(Limits{MaxInFlight: 1 << 30})
	if got := b.Stats().Limit; got != allowed {
		t.Errorf("Stats().Limit with a higher limit = %d, want %d, as descriptors allow", got, allowed)
	}
	connections := descriptorReserve(maxDescriptors(), 0) // more than the reserve has for them
	b.SetLimits(Limits{Connections: connections})
	if got, want := b.Stats().Limit, maxDescriptors()-descriptorReserve(maxDescriptors(), connections); got != want || got >= allowed {
		t.Errorf("Stats().Limit with %d connections = %d, want %d, below %d", connections, got, want, allowed)
	}
}

func TestMaxLookupSockets(t *testing.T) {
	t.Parallel()
	for descriptors, want := range map[int]int{64: 32, 1024: 128, 4096: 512, 1 << 20: 1024} {
		if got := maxLookupSockets(descriptors); got != want {
			t.Errorf("maxLookupSockets(%d) = %d, want %d", descriptors, got, want)
		}
	}
}

func TestDescriptorReserve(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ descriptors, wanted, connections, reserve int }{
		{64, 0, 0, 32},
		{64, 512, 10, 42},
		{256, 512, 42, 170},
		{1024, 0, 0, 128},
		{1024, 512, 512, 640},
		{1024, 4000, 554, 682},
		{20000, 512, 512, 1000},
		{20000, 4000, 4000, 4128},
		{1 << 20, 512, 512, 52428},
		{3, 512, 1, 2},
	} {
		if got := maxConnections(tc.descriptors, tc.wanted); got != tc.connections {
			t.Errorf("maxConnections(%d, %d) = %d, want %d", tc.descriptors, tc.wanted, got, tc.connections)
		}
		if got := descriptorReserve(tc.descriptors, tc.wanted); got != tc.reserve {
			t.Errorf("descriptorReserve(%d, %d) = %d, want %d", tc.descriptors, tc.wanted, got, tc.reserve)
		}
	}
}

// TestBudgetReservesPlaces has a huge scan acquire as many places as it can. An eighth must
// stay free for a small scan that joins later, and the huge scan must owe the places above
// its fair share, which the small one can then acquire.
func TestBudgetReservesPlaces(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{MaxInFlight: 80})
	take := func(s *share) (n int) {
		for s.acquire() {
			n++
		}
		return n
	}
	huge, small := b.join(scan.TCP, 65535, 10000), b.join(scan.TCP, 20, 10000)
	if got := take(huge); got != 70 {
		t.Errorf("places of the huge scan = %d, want 70: 80 less an eighth", got)
	}
	if got := take(small); got != 10 {
		t.Errorf("places of the small scan = %d, want 10", got)
	}
	if got := huge.excess(); got != 30 {
		t.Errorf("excess() of the huge scan = %d, want 30: 70 less its fair share", got)
	}
	for range 30 {
		huge.release()
	}
	if got := take(small); got != 20 {
		t.Errorf("further places of the small scan = %d, want 20: 30 less an eighth of 80", got)
	}
	if huge.leave(); b.used != 30 {
		t.Errorf("places in use after the huge scan = %d, want 30, those of the small one", b.used)
	}
	if small.leave(); b.used != 0 {
		t.Errorf("places in use after all scans = %d, want 0", b.used)
	}
}

// TestStartInterval scans 256 addresses. In the first startInterval the engine must start at
// most maxStarts of them, because the kernel's table of unresolved neighbors is small. In the
// end all of them must have been scanned.
func TestStartInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		started := make(map[netip.Addr]time.Duration)
		start := time.Now()
		d := testDial(t, Limits{})
		d.system = &dialSystem{dial: func(_ context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
			mu.Lock()
			if _, ok := started[to.Addr()]; !ok {
				started[to.Addr()] = time.Since(start)
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
			t.Errorf("states = %v, want %d closed (rst)", got, 256*40)
		}
		early := 0
		for at := range maps.Values(started) {
			if at < startInterval {
				early++
			}
		}
		if early == 0 || early > maxStarts || len(started) != 256 {
			t.Errorf("addresses started within %v = %d, want 1 to %d; %d in all, want 256", startInterval, early, maxStarts, len(started))
		}
	})
}

// TestBudgetAcquireAll requires that a scan can acquire places for all its ports at once only if
// they are a small part of its fair share.
func TestBudgetAcquireAll(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{MaxInFlight: 256})
	first := b.join(scan.TCP, 1000, 1000)
	for _, tc := range []struct {
		places int
		want   bool
	}{{65, false}, {32, true}, {32, true}, {1, false}} {
		if got := first.acquireAll(tc.places); got != tc.want {
			t.Errorf("acquireAll(%d) of 256 places = %v, want %v", tc.places, got, tc.want)
		}
	}
	for range 15 {
		b.join(scan.TCP, 1000, 1000)
	}
	last := b.join(scan.TCP, 1000, 1000)
	if last.acquireAll(4) {
		t.Error("acquireAll(4) of 15 places = true, want false")
	}
	if !last.acquireAll(3) {
		t.Error("acquireAll(3) of 15 places = false, want true")
	}
	if first.held != 64 || last.held != 3 {
		t.Errorf("places held = %d and %d, want 64 and 3", first.held, last.held)
	}
}

// TestRateLimitUnusedPackets has scans end at their deadline before they have sent the packets
// that they claimed. Later scans must be able to send at the full rate, each of them at least
// half of its fair share.
func TestRateLimitUnusedPackets(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{1, 10, 1000} {
		b := testBudget(t, Limits{Rate: rate})
		now := b.created
		for round := range 5 {
			shares := make([]*share, 20)
			for i := range shares {
				shares[i] = b.join(scan.TCP, 1000, 1000)
			}
			sent, sentBy := 0, make([]int, len(shares))
			for end := now.Add(9 * time.Second); now.Before(end); now = now.Add(5 * time.Millisecond) {
				for i, s := range shares {
					if s.allowsPacket(now) {
						s.spendPackets(1)
						sent++
						sentBy[i]++
					}
				}
			}
			for _, s := range shares {
				s.leave()
			}
			if least, most := 8*rate, 10*rate; sent < least || sent > most {
				t.Errorf("packets in 9 s of round %d at a rate of %d = %d, want %d to %d", round, rate, sent, least, most)
			}
			if got, least := slices.Min(sentBy), sent/len(shares)/2; got < least {
				t.Errorf("packets of one scan in round %d at a rate of %d = %d, want at least %d", round, rate, got, least)
			}
			now = now.Add(6 * time.Second)
		}
	}
}
