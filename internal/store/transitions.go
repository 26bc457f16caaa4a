// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// transition is a change of ports of an address from one state to another.
type transition struct {
	ip       netip.Addr
	from, to scan.State
	weight   int          // see weigh
	ports    scan.PortSet // the logged ones
	flapping scan.PortSet
}

// The weights of changes: the lowest are logged first.
const (
	weightViolating = iota // the new state violates the target's expectations
	weightOpen             // the port is open, or was
	weightOther
)

// compare counts the ports whose state differs from the baseline, and returns their changes. Ports
// that the baseline does not cover have not changed.
func (h *history) compare(now map[scan.State]scan.PortSet, at time.Time, expect *scan.Expectation) (all []transition) {
	if h.baseline == nil {
		return nil
	}
	var moved scan.PortSet
	for to, ports := range now {
		for from, before := range h.baseline.states {
			if from == to {
				continue
			}
			if both := ports.Intersect(before); !both.IsEmpty() {
				all = append(all, transition{from: from, to: to, ports: both})
				moved = moved.Union(both)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	logged, flapping := h.countChanges(moved, at)
	var weighed []transition
	for _, t := range all {
		t.ports, t.flapping = t.ports.Intersect(logged), flapping
		weighed = append(weighed, t.weigh(expect)...)
	}
	return weighed
}

// weigh splits a transition into those that violate the target's expectations and the others.
func (t *transition) weigh(expect *scan.Expectation) (all []transition) {
	var violating scan.PortSet
	if expect != nil {
		unexpected, missing := expect.Violations(map[scan.State]scan.PortSet{t.to: t.ports})
		violating = unexpected.Union(missing)
	}
	other := weightOther
	if t.from == scan.Open || t.to == scan.Open {
		other = weightOpen
	}
	for _, part := range []struct {
		weight int
		ports  scan.PortSet
	}{{weightViolating, violating}, {other, t.ports.Minus(violating)}} {
		if !part.ports.IsEmpty() {
			weighed := *t
			weighed.weight, weighed.ports = part.weight, part.ports
			all = append(all, weighed)
		}
	}
	return all
}

// countChanges counts a change of ports. It returns those whose change is logged, and of these
// the ports whose next changes are not.
func (h *history) countChanges(moved scan.PortSet, at time.Time) (logged, flapping scan.PortSet) {
	rest := moved
	var next []portChange
	count := func(before changeCount, ports scan.PortSet) {
		c, isLogged, last := before.next(at)
		if isLogged {
			logged = logged.Union(ports)
		}
		if last {
			flapping = flapping.Union(ports)
		}
		next = append(next, portChange{c, ports})
	}
	for _, c := range h.changed {
		if both := c.ports.Intersect(moved); !both.IsEmpty() {
			count(c.changeCount, both)
			rest = rest.Minus(both)
			c.ports = c.ports.Minus(both)
		}
		if !c.ports.IsEmpty() {
			next = append(next, c)
		}
	}
	if !rest.IsEmpty() {
		count(changeCount{}, rest)
	}
	h.changed = mergeChanges(next)
	return logged, flapping
}

// mergeChanges merges sets with equal counts, and drops the oldest ones if there are too many.
func mergeChanges(all []portChange) []portChange {
	slices.SortStableFunc(all, func(a, b portChange) int {
		return cmp.Or(b.at.Compare(a.at), b.since.Compare(a.since), cmp.Compare(a.times, b.times))
	})
	merged := all[:0]
	for _, c := range all {
		if n := len(merged); n > 0 && merged[n-1].changeCount == c.changeCount {
			merged[n-1].ports = merged[n-1].ports.Union(c.ports)
			continue
		}
		merged = append(merged, c)
	}
	return slices.Clip(merged[:min(len(merged), maxChangeSets)])
}
