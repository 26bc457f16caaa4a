// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// maxOpened is the maximum number of ports of an address that are stored as once open.
const maxOpened = 1000

// record has what scans have shown of an address. It is immutable once it is part of an entry.
type record struct {
	newest   *scanned // nil: only the history is known
	previous *scanned // for ports that newest does not know; nil: none
	last     time.Time

	history
}

// scanned is the result of a scan for one address. It is immutable.
type scanned struct {
	result scan.AddressResult
	by     *scanInfo
}

func (s *scanned) complete() bool { return s.result.Count(scan.Unknown) == 0 }

// history has what several scans have shown of an address.
type history struct {
	baseline     *baseline    // nil: no complete scan
	opened       scan.PortSet // open in any scan
	changed      []portChange
	lastResponse time.Time // of the address itself, in any scan; zero: none
	dark         time.Time // start of the last scan in which it was dark; zero: it responds, or never did
	turned       changeCount
}

// baseline has the states of ports in a complete scan that showed them. It is immutable.
type baseline struct {
	started time.Time
	states  map[scan.State]scan.PortSet
}

// size returns about how many bytes the record takes.
func (r *record) size() int {
	if r == nil {
		return 0
	}
	const base, perRange, perChange, perResult = 300, 4, 100, 100
	size := base + perRange*r.opened.RangeCount()
	for _, s := range []*scanned{r.newest, r.previous} {
		if s != nil {
			size += perResult + s.result.Size()
		}
	}
	if r.baseline != nil {
		for _, ports := range r.baseline.states {
			size += perRange * ports.RangeCount()
		}
	}
	for i := range r.changed {
		size += perChange + perRange*r.changed[i].ports.RangeCount()
	}
	return size
}

// setNewest sets the newest result, unless the record has a later one. If the result is
// incomplete, the record keeps the earlier states of its unknown ports for a time.
func (r *record) setNewest(s *scanned, keep time.Duration) {
	r.last = latestTime(r.last, s.by.finished)
	if r.newest != nil && r.newest.by.finished.After(s.by.finished) {
		return
	}
	before, _ := r.shown(s.by.finished, keep)
	r.newest, r.previous = s, nil
	if keep > 0 && !s.complete() {
		r.previous = before
	}
}

// shown returns the states of an address at a time: those of its newest scan, and of ports that
// this scan does not know, the earlier ones, if they are not older than keep. The time is that
// from which on the latter are too old; zero: never.
func (r *record) shown(now time.Time, keep time.Duration) (s *scanned, until time.Time) {
	if r.previous == nil {
		return r.newest, time.Time{}
	}
	until = r.previous.by.finished.Add(keep)
	if now.After(until) {
		return r.newest, time.Time{}
	}
	filled := r.newest.result.FillUnknown(&r.previous.result)
	by := *r.newest.by
	by.finished = r.previous.by.finished // of its oldest states
	return &scanned{result: filled, by: &by}, until
}

// learn adds a scan of the address to its history, and returns what has changed. An incomplete
// scan, or one that began before the last complete one, shows what is open, and is no evidence of
// changes. Neither is a scan without an answer of an address that answered before.
func (h *history) learn(a *scan.AddressResult, task scan.Task, by *scanInfo) (n addressNews) {
	n.ip = a.IP
	states, complete := a.ByState(), a.Count(scan.Unknown) == 0
	responded, old := !h.lastResponse.IsZero(), *h
	n.firstSeen = h.wasSilent(task.Plan.Ports()) && a.LastResponse().After(h.baseline.started)
	h.addOpened(states[scan.Open])
	h.dark = h.darkAfter(a, by.started, complete)
	h.lastResponse = latestTime(h.lastResponse, a.LastResponse())
	if complete && (h.baseline == nil || !by.started.Before(h.baseline.started)) && (a.Responding() || !responded) {
		n.transitions = h.compare(states, by.finished, task.Plan.Spec().Expect)
		n.altered = h.baseline == nil || !maps.EqualFunc(h.baseline.states, states, scan.PortSet.Equal)
		h.baseline = &baseline{started: by.started, states: states}
	}
	if h.dark.IsZero() != old.dark.IsZero() {
		n.turn = &turn{ip: a.IP, dark: !h.dark.IsZero(), since: old.lastResponse}
		h.turned, n.turn.logged, n.turn.flapping = old.turned.next(by.finished)
	}
	n.altered = n.altered || !h.opened.Equal(old.opened) || h.dark.IsZero() != old.dark.IsZero() || responded == h.lastResponse.IsZero()
	return n
}

// wasSilent reports whether a complete scan of all these ports got no answer, and no other scan
// did. A port that the scan did not have may have answered before.
func (h *history) wasSilent(ports scan.PortSet) bool {
	if h.baseline == nil || h.hasResponded() {
		return false
	}
	silent := h.baseline.states[scan.Filtered].Union(h.baseline.states[scan.OpenFiltered])
	return ports.Minus(silent).IsEmpty()
}

// hasResponded reports whether the address has responded to a scan. State files of early versions
// lack the time.
func (h *history) hasResponded() bool { return !h.lastResponse.IsZero() || !h.opened.IsEmpty() }

// darkAfter returns the value of the field dark after a scan. A scan that overlaps with an answer
// to another one does not make the address dark, and neither does an old answer make it respond
// again.
func (h *history) darkAfter(a *scan.AddressResult, started time.Time, complete bool) time.Time {
	switch {
	case a.LastResponse().After(h.dark):
		return time.Time{}
	case complete && !h.lastResponse.IsZero() && started.After(h.lastResponse):
		return started
	default:
		return h.dark
	}
}

// addOpened adds open ports to those that were open once. If there are too many, ports remain
// that are open now, and then those that changed last.
func (h *history) addOpened(open scan.PortSet) {
	if open.Minus(h.opened).IsEmpty() {
		return
	}
	all := h.opened.Union(open)
	if all.Len() > maxOpened {
		ports := slices.Collect(all.All())
		slices.SortStableFunc(ports, func(a, b uint16) int {
			changedA, _ := h.lastChange(a)
			changedB, _ := h.lastChange(b)
			return cmp.Or(trueFirst(open.Contains(a), open.Contains(b)), changedB.Compare(changedA))
		})
		all = scan.NewPortSet(ports[:maxOpened]...)
	}
	h.opened = all
}

// lastChange returns the time of the port's last state change.
func (h *history) lastChange(port uint16) (time.Time, bool) {
	for i := range h.changed {
		if h.changed[i].ports.Contains(port) {
			return h.changed[i].at, true
		}
	}
	return time.Time{}, false
}

// restrict removes the ports that a task does not have.
func (h *history) restrict(task scan.Task) {
	ports := task.Plan.Ports()
	h.opened = h.opened.Intersect(ports)
	if h.baseline != nil {
		states := make(map[scan.State]scan.PortSet, len(h.baseline.states))
		for state, in := range h.baseline.states {
			states[state] = in.Intersect(ports)
		}
		h.baseline = &baseline{started: h.baseline.started, states: states}
	}
	changed := make([]portChange, 0, len(h.changed))
	for _, c := range h.changed {
		if c.ports = c.ports.Intersect(ports); !c.ports.IsEmpty() {
			changed = append(changed, c)
		}
	}
	h.changed = changed
}

// latestTime returns the later of two times.
func latestTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// trueFirst compares so that true comes before false.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// History has the port history of addresses. The zero value is empty. It may be used
// concurrently.
type History struct {
	byIP map[netip.Addr]*record
}

// Opened returns the ports of an address that were open in any scan.
func (h History) Opened(ip netip.Addr) scan.PortSet {
	if r := h.byIP[ip]; r != nil {
		return r.opened
	}
	return scan.PortSet{}
}

// LastChange returns the time of the port's last state change, the end of the scan that
// detected it.
func (h History) LastChange(ip netip.Addr, port uint16) (time.Time, bool) {
	if r := h.byIP[ip]; r != nil {
		return r.lastChange(port)
	}
	return time.Time{}, false
}

// LastResponse returns the time of the last answer of the address itself in any scan, or the
// zero time.
func (h History) LastResponse(ip netip.Addr) time.Time {
	if r := h.byIP[ip]; r != nil {
		return r.lastResponse
	}
	return time.Time{}
}
