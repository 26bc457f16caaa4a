// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// portModel counts the changes of each port, a port at a time.
type portModel struct {
	states map[uint16]scan.State
	counts map[uint16]changeCount
}

// modelChange is a logged change.
type modelChange struct {
	From, To scan.State
	Weight   int
	Flapping bool
}

// compare returns the changes to log.
func (m *portModel) compare(now map[uint16]scan.State, at time.Time, plan scan.Plan) map[uint16]modelChange {
	logged := make(map[uint16]modelChange)
	for port, to := range now {
		from := m.states[port]
		m.states[port] = to
		if from == to {
			continue
		}
		c := m.counts[port]
		if c.times == 0 || at.Sub(c.since) >= flapSpan {
			c = changeCount{since: at}
		}
		c.at, c.times = at, c.times+1
		m.counts[port] = c
		change := modelChange{From: from, To: to, Weight: weightOther, Flapping: c.times == maxFlaps}
		switch {
		case plan.Expected(port).ViolatedBy(to):
			change.Weight = weightViolating
		case from == scan.Open || to == scan.Open:
			change.Weight = weightOpen
		}
		if c.times <= maxFlaps {
			logged[port] = change
		}
	}
	return logged
}

// TestHistoryCompareModel compares the changes of sets of ports with those of single ports.
func TestHistoryCompareModel(t *testing.T) {
	t.Parallel()
	const ports = 24
	plan := newPlan(t, "1-24", func(s *scan.Spec) {
		s.Expect = &scan.Expectation{Open: scan.NewPortSet(1, 2, 3), Allow: scan.NewPortSet(4, 5)}
	})
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 3))
		m := portModel{states: make(map[uint16]scan.State), counts: make(map[uint16]changeCount)}
		for port := uint16(1); port <= ports; port++ {
			m.states[port] = scan.Closed
		}
		h := history{baseline: &baseline{states: setsByState(m.states)}}
		now, at := maps.Clone(m.states), testStart()
		for step := range 100 {
			at = at.Add(time.Duration(random.IntN(600)) * time.Second)
			for range random.IntN(8) {
				now[1+uint16(random.IntN(ports))] = scan.State(1 + random.IntN(4))
			}
			sets := setsByState(now)
			got := changesByPort(t, h.compare(sets, at, plan.Spec().Expect))
			h.baseline = &baseline{states: sets}
			if diff := cmp.Diff(m.compare(now, at, plan), got); diff != "" {
				t.Fatalf("seed %d, step %d: logged changes (-want +got):\n%s", seed, step, diff)
			}
			if diff := cmp.Diff(m.counts, countsByPort(t, h.changed), cmp.AllowUnexported(changeCount{})); diff != "" {
				t.Fatalf("seed %d, step %d: counts (-want +got):\n%s", seed, step, diff)
			}
		}
	}
}

func setsByState(states map[uint16]scan.State) map[scan.State]scan.PortSet {
	byState := make(map[scan.State][]uint16)
	for port, s := range states {
		byState[s] = append(byState[s], port)
	}
	sets := make(map[scan.State]scan.PortSet)
	for s, ports := range byState {
		sets[s] = scan.NewPortSet(ports...)
	}
	return sets
}

func changesByPort(tb testing.TB, all []transition) map[uint16]modelChange {
	tb.Helper()
	byPort := make(map[uint16]modelChange)
	for _, c := range all {
		for port := range c.ports.All() {
			if _, ok := byPort[port]; ok {
				tb.Errorf("port %d has two changes", port)
			}
			byPort[port] = modelChange{From: c.from, To: c.to, Weight: c.weight, Flapping: c.flapping.Contains(port)}
		}
	}
	return byPort
}

func countsByPort(tb testing.TB, all []portChange) map[uint16]changeCount {
	tb.Helper()
	byPort, seen := make(map[uint16]changeCount), make(map[changeCount]bool)
	for _, c := range all {
		if seen[c.changeCount] || c.ports.IsEmpty() {
			tb.Errorf("count %+v of ports %q is not merged", c.changeCount, c.ports)
		}
		seen[c.changeCount] = true
		for port := range c.ports.All() {
			if _, ok := byPort[port]; ok {
				tb.Errorf("port %d has two counts", port)
			}
			byPort[port] = c.changeCount
		}
	}
	return byPort
}

// TestMergeChangesLimit requires that of too many sets the oldest ones are dropped.
func TestMergeChangesLimit(t *testing.T) {
	t.Parallel()
	h := history{}
	for port := range uint16(maxChangeSets + 10) {
		h.countChanges(scan.NewPortSet(port+1), testStart().Add(time.Duration(port)*time.Second))
	}
	_, oldest := h.lastChange(10)
	_, kept := h.lastChange(11)
	if len(h.changed) != maxChangeSets || oldest || !kept {
		t.Errorf("%d sets, LastChange(10) %v, LastChange(11) %v, want %d, false, true", len(h.changed), oldest, kept, maxChangeSets)
	}
}

// TestCountChangesKeepsEarlier requires that counting does not modify an earlier copy, which other
// records share.
func TestCountChangesKeepsEarlier(t *testing.T) {
	t.Parallel()
	h := history{}
	h.countChanges(scan.NewPortSet(1, 2, 3), testStart())
	h.countChanges(scan.NewPortSet(7), testStart().Add(time.Second))
	earlier := h
	want := countsByPort(t, earlier.changed)
	h.countChanges(scan.NewPortSet(2, 9), testStart().Add(time.Minute))
	h.countChanges(scan.NewPortSet(7), testStart().Add(time.Minute))
	if diff := cmp.Diff(want, countsByPort(t, earlier.changed), cmp.AllowUnexported(changeCount{})); diff != "" {
		t.Errorf("counts of the earlier history (-want +got):\n%s", diff)
	}
}
