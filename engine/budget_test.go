package engine

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPlacesKeptBack has a scan take all the places that it can get: one that
// joins later finds some free at once, and then those that the first gives back.
func TestPlacesKeptBack(t *testing.T) {
	t.Parallel()
	b, err := NewBudget(Limits{MaxInFlight: 80})
	if err != nil {
		t.Fatal(err)
	}
	take := func(s *share) (n int) {
		for s.take() {
			n++
		}
		return n
	}
	huge, small := b.join(65535, 10000), b.join(20, 10000)
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
