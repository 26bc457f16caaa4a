// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// fakeLink is a link layer whose neighbor table has one entry.
type fakeLink struct {
	entry     neighborEntry
	overflows uint64
}

func (*fakeLink) nextHop(_, addr netip.Addr) (nextHop, error) {
	return nextHop{link: 2, addr: addr, needsNeighbor: true}, nil
}

func (l *fakeLink) neighborEntry(nextHop) neighborEntry { return l.entry }
func (*fakeLink) linkReachability(nextHop) reachability { return oneReachable }
func (l *fakeLink) countOverflows(nextHop) uint64       { return l.overflows }

// TestNeighbor verifies a next hop whose entry passes through several states, with an attempt
// before each if the limit allows it: the status and the limit in the end must be right.
func TestNeighbor(t *testing.T) {
	t.Parallel()
	const step = 250 * time.Millisecond // longer than verify accepts an entry, and than the pause
	type entries = []neighborEntry
	missing, incomplete, resolved := neighborEntry{}, neighborEntry{state: neighborIncomplete}, neighborEntry{state: neighborResolved}
	failed, failedLongAgo := neighborEntry{state: neighborFailed}, neighborEntry{state: neighborFailed, age: time.Hour}
	for name, tc := range map[string]struct {
		entries   entries
		overflows bool // each attempt without an entry overflows the table
		want      neighborStatus
		unlimited bool
	}{
		"resolved before":    {entries{resolved}, false, neighborStatus{state: neighborResolved}, true},
		"resolves":           {entries{missing, incomplete, resolved}, false, neighborStatus{state: neighborResolved}, true},
		"resolves in time":   {entries{failedLongAgo, incomplete, incomplete}, false, neighborStatus{state: neighborIncomplete}, false},
		"fails":              {entries{missing, incomplete, failed}, false, neighborStatus{state: neighborFailed, failures: 1}, false},
		"fails twice":        {entries{missing, incomplete, failed, incomplete, failed}, false, neighborStatus{state: neighborFailed, failures: 2}, false},
		"fails, then exists": {entries{missing, incomplete, failed, incomplete, resolved}, false, neighborStatus{state: neighborResolved}, true},
		"had failed before":  {entries{failedLongAgo, failedLongAgo}, false, neighborStatus{}, true},
		"no attempts":        {entries{missing, missing}, false, neighborStatus{}, true},
		"removed":            {entries{missing, incomplete, missing}, false, neighborStatus{}, false},
		"table full":         {entries{missing, missing}, true, neighborStatus{overflowed: true}, false},
		"table full for a while": {
			entries{missing, missing, missing, missing, missing, incomplete, incomplete}, true, neighborStatus{state: neighborIncomplete}, false,
		},
		"lost":                 {entries{resolved, missing}, false, neighborStatus{losses: 1}, false},
		"lost, and table full": {entries{resolved, missing, missing}, true, neighborStatus{losses: 1, overflowed: true}, false},
		"found again":          {entries{resolved, missing, resolved}, false, neighborStatus{state: neighborResolved, losses: 1}, true},
		"found, no attempts":   {entries{missing, missing, resolved}, false, neighborStatus{state: neighborResolved, losses: 1}, true},
		"lost, then fails":     {entries{resolved, failed, incomplete, failed}, false, neighborStatus{state: neighborFailed, failures: 1, losses: 1}, false},
	} {
		link := &fakeLink{entry: tc.entries[0]}
		hop, _ := link.nextHop(netip.Addr{}, netip.MustParseAddr("192.0.2.1"))
		n := newNeighbor(link, testBudget(t, Limits{}).join(scan.TCP, 1, 1), hop, nil, 0)
		now, status := time.Duration(0), n.neighborStatus
		for _, entry := range tc.entries[1:] {
			if made := min(n.limit(now), 1); made > 0 {
				n.noteAttempts(now, made)
				if tc.overflows && entry.state == neighborMissing {
					link.overflows++
				}
			}
			link.entry, now = entry, now+step
			status = n.verify(now)
		}
		if unlimited := n.limit(now+overflowPause) == maxBatch; status != tc.want || unlimited != tc.unlimited {
			t.Errorf("%s: status = %+v, unlimited: %v, want %+v, %v", name, status, unlimited, tc.want, tc.unlimited)
		}
	}
}

// TestNeighborProves makes attempts before and after a next hop resolves. The silence of an
// attempt must count as evidence only if the kernel queued its packet for a short time.
func TestNeighborProves(t *testing.T) {
	t.Parallel()
	link := &fakeLink{}
	hop, _ := link.nextHop(netip.Addr{}, netip.MustParseAddr("192.0.2.1"))
	n := newNeighbor(link, testBudget(t, Limits{}).join(scan.TCP, 1, 1), hop, nil, 0)
	n.noteAttempts(0, n.limit(0))
	if n.limit(0) != 0 || n.proves(0) {
		t.Errorf("before the next hop resolves, limit() = %d, want 0, and proves() = %v, want false", n.limit(0), n.proves(0))
	}
	link.entry.state = neighborResolved
	const now = time.Second
	n.check(now)
	for sent, want := range map[time.Duration]bool{0: false, now - 2*queueTime: false, now - queueTime/2: true, now: true} {
		if got := n.proves(sent); got != want {
			t.Errorf("for a next hop that resolved at %v, proves(%v) = %v, want %v", now, sent, got, want)
		}
	}
	for _, limit := range []int{n.limit(now), n.limit(now)} {
		if limit != maxBatch {
			t.Errorf("limit() = %d, want %d", limit, maxBatch)
		}
	}
}

// TestBudgetSharesUnresolved runs scans with many next hops that do not resolve. The scans must
// share maxUnresolved of them, with at least minUnresolved each. When a scan ends, the others
// must be able to acquire its part.
func TestBudgetSharesUnresolved(t *testing.T) {
	t.Parallel()
	b := testBudget(t, Limits{})
	acquireAll := func(s *share) (count int) {
		for s.acquireUnresolved() {
			count++
		}
		return count
	}
	first, second, idle := b.join(scan.TCP, 1, 1), b.join(scan.UDP, 1, 1), b.join(scan.TCP, 1, 1)
	if got := acquireAll(first); got != maxUnresolved {
		t.Errorf("unresolved next hops of the first scan = %d, want %d", got, maxUnresolved)
	}
	if got := acquireAll(second); got != minUnresolved {
		t.Errorf("unresolved next hops of the second scan = %d, want %d", got, minUnresolved)
	}
	first.releaseUnresolved()
	if first.acquireUnresolved() {
		t.Error("acquireUnresolved() above the fair share = true, want false")
	}
	first.leave()
	if got := acquireAll(second); got != maxUnresolved-minUnresolved {
		t.Errorf("further unresolved next hops of the second scan = %d, want %d", got, maxUnresolved-minUnresolved)
	}
	second.leave()
	idle.leave()
	var many []*share
	for range 2 * maxUnresolved / minUnresolved {
		s := b.join(scan.TCP, 1, 1)
		if !s.acquireUnresolved() {
			t.Fatalf("acquireUnresolved() of scan %d = false, want true", len(many))
		}
		many = append(many, s)
	}
	if got := acquireAll(many[0]) + 1; got != minUnresolved {
		t.Errorf("unresolved next hops of one of %d scans = %d, want %d", len(many), got, minUnresolved)
	}
	for _, s := range many {
		s.leave()
	}
	if b.unresolved != 0 || b.unresolvedScans != 0 {
		t.Errorf("unresolved next hops at the end = %d of %d scans, want 0", b.unresolved, b.unresolvedScans)
	}
}

// TestNeighborMayHaveFailed requires that an error of this machine is the next hop's for a
// while after the kernel has tried to resolve it, even if the entry has been removed. Without
// such a try, the error is not.
func TestNeighborMayHaveFailed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		states []neighborState
		want   bool
	}{
		"incomplete": {[]neighborState{neighborMissing, neighborIncomplete}, true},
		"failed":     {[]neighborState{neighborMissing, neighborIncomplete, neighborFailed}, true},
		"removed":    {[]neighborState{neighborMissing, neighborIncomplete, neighborMissing}, true},
		"missing":    {[]neighborState{neighborMissing, neighborMissing}, false},
		"resolved":   {[]neighborState{neighborMissing, neighborIncomplete, neighborResolved}, false},
	} {
		link := &fakeLink{}
		hop, _ := link.nextHop(netip.Addr{}, netip.MustParseAddr("192.0.2.1"))
		n := newNeighbor(link, testBudget(t, Limits{}).join(scan.TCP, 1, 1), hop, nil, 0)
		n.noteAttempts(0, n.limit(0))
		now := time.Duration(0)
		for _, state := range tc.states {
			now += 100 * time.Millisecond
			link.entry = neighborEntry{state: state}
			n.verify(now)
		}
		if got := n.mayHaveFailed(now); got != tc.want {
			t.Errorf("%s: mayHaveFailed() = %v, want %v", name, got, tc.want)
		}
		if n.mayHaveFailed(now + time.Minute) {
			t.Errorf("%s: mayHaveFailed() after a minute = true, want false", name)
		}
	}
}
