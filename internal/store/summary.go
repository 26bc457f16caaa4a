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

// Summary sums up the newest results of a target with one module. It is read-only. The store
// computes it when it is requested and keeps it until a result changes.
type Summary struct {
	Target, Module string
	Plan           scan.Plan
	FullScan       bool // the complete target was scanned, not only some addresses
	Partial        bool // only some addresses were scanned
	Started        time.Time
	Finished       time.Time // of the oldest result of an address
	Failed         map[scan.Failure]error
	Refused        []netip.Addr // resolved outside the target's networks and not scanned
	Scanned        int          // number of addresses with results
	Evicted        int          // number of addresses whose results were evicted

	Unexpected, Missing scan.PortSet // on any address
	WithUnexpected      int          // addresses
	WithMissing         int          // addresses
	Open                int          // ports of addresses
	Unknown             int          // ports of addresses that their newest scan does not know
	Suspect             int          // addresses
	Dark                int          // addresses

	until time.Time // when earlier states become too old; zero: never
}

// Success reports whether the newest scans know the state of each port of each address.
func (s *Summary) Success() bool {
	return len(s.Failed) == 0 && len(s.Refused) == 0 && s.Scanned > 0 && s.Evicted == 0 && s.Unknown == 0 && !s.Partial
}

// TargetView is a summary with its addresses for the status pages. It is read-only and may be
// used concurrently.
type TargetView struct {
	Summary

	Addresses []*AddressView // in ascending order
}

// AddressView has the newest results of an address.
type AddressView struct {
	scan.Address

	Finished   time.Time                   // of the newest scan
	States     map[scan.State]scan.PortSet // all ports of the plan
	Unexpected scan.PortSet                // open and must not be
	Missing    scan.PortSet                // must be open and is known not to be
	Unknown    map[scan.Cause]int          // ports that the newest scan does not know, by cause
	Responding bool                        // the address itself answered in that scan
	Suspicion  scan.Suspicion              // why a middlebox probably answers for it
	Dark       bool                        // it responded to an earlier scan, but not to the last complete one
	Opened     scan.PortSet                // open in any scan
	ICMP       []scan.ICMPPorts            // ports with the same ICMP error, the most first

	// LastResponse is the time of the last answer of the address itself in any scan; zero:
	// none.
	LastResponse time.Time

	shown  *scanned
	record *record
}

// Count returns the number of ports in the state.
func (a *AddressView) Count(s scan.State) int { return a.shown.result.Count(s) }

// Port returns the result for a port of the plan.
func (a *AddressView) Port(port uint16) (scan.PortResult, bool) { return a.shown.result.Port(port) }

// Violating reports whether a port violates the target's expectations.
func (a *AddressView) Violating() bool { return !a.Unexpected.IsEmpty() || !a.Missing.IsEmpty() }

// LastChange returns the time of the port's last state change, the end of the scan that
// detected it.
func (a *AddressView) LastChange(port uint16) (time.Time, bool) { return a.record.lastChange(port) }

// view returns what is shown of an address.
func (r *record) view(s *scanned, expect *scan.Expectation) *AddressView {
	a := &AddressView{
		Address: s.result.Address, Finished: r.newest.by.finished, States: s.result.ByState(),
		Unknown: r.newest.result.UnknownByCause(), Responding: r.newest.result.Responding(), Suspicion: r.newest.result.SuspectedBy(),
		Dark: !r.dark.IsZero(), Opened: r.opened, ICMP: s.result.ICMPErrors(),
		LastResponse: latestTime(r.lastResponse, r.newest.result.LastResponse()), shown: s, record: r,
	}
	a.Unexpected, a.Missing = expect.Violations(a.States)
	return a
}

// Summaries returns the summaries of all targets in order of target and module, without targets
// that were not scanned with the current configuration.
func (s *Store) Summaries() (all []*Summary) {
	now := time.Now()
	for _, e := range s.all("") {
		if sum := e.summarize(now); sum != nil {
			all = append(all, sum)
		}
	}
	slices.SortFunc(all, compareSummaries)
	return all
}

func compareSummaries(a, b *Summary) int {
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module))
}

// TargetViews returns the results of a target with each of its modules, in order of the module.
func (s *Store) TargetViews(target string) (all []*TargetView) {
	now := time.Now()
	for _, e := range s.all(target) {
		snapshot := e.snapshot()
		if views := snapshot.addressViews(now); snapshot.full != nil || len(views) > 0 {
			all = append(all, &TargetView{Summary: *snapshot.summarize(views), Addresses: views})
		}
	}
	slices.SortFunc(all, func(a, b *TargetView) int { return compareSummaries(&a.Summary, &b.Summary) })
	return all
}

// summarize returns the summary of the entry, or nil without results.
func (e *entry) summarize(now time.Time) *Summary {
	e.mu.Lock()
	sum, empty := e.summary, e.full == nil && len(e.records) == 0
	e.mu.Unlock()
	if empty || sum != nil && (sum.until.IsZero() || !now.After(sum.until)) {
		return sum
	}
	snapshot := e.snapshot()
	views := snapshot.addressViews(now)
	if snapshot.full == nil && len(views) == 0 {
		return nil
	}
	sum = snapshot.summarize(views)
	sum.until = snapshot.until
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.generation == snapshot.generation {
		e.summary = sum
	}
	return sum
}

// snapshot has an entry's content at a moment.
type snapshot struct {
	task       scan.Task
	configured bool
	full       *fullScan
	evicted    int
	records    []*record // with results, in ascending order of address
	generation int
	until      time.Time
}

func (e *entry) snapshot() *snapshot {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &snapshot{task: e.task, configured: e.configured, full: e.full, evicted: len(e.evicted), generation: e.generation}
	for _, r := range e.records {
		if r.newest != nil {
			s.records = append(s.records, r)
		}
	}
	return s
}

// addressViews returns what is shown of each address, and sets until.
func (s *snapshot) addressViews(now time.Time) (views []*AddressView) {
	expect := s.task.Plan.Spec().Expect
	for _, r := range s.records {
		shown, until := r.shown(now, keepFor(s.task))
		if !until.IsZero() && (s.until.IsZero() || until.Before(s.until)) {
			s.until = until
		}
		views = append(views, r.view(shown, expect))
	}
	slices.SortFunc(views, func(a, b *AddressView) int { return a.IP.Compare(b.IP) })
	return views
}

// summarize returns the summary of the addresses.
func (s *snapshot) summarize(views []*AddressView) *Summary {
	sum := &Summary{Target: s.task.Target, Module: s.task.Module, Plan: s.task.Plan, Scanned: len(views), Evicted: s.evicted}
	for _, a := range views {
		sum.add(a)
	}
	if s.full != nil {
		sum.FullScan, sum.Failed, sum.Refused = true, s.full.failed, s.full.refused
		if sum.Finished.IsZero() || s.full.by.finished.Before(sum.Finished) {
			sum.Started, sum.Finished = s.full.by.started, s.full.by.finished
		}
		return sum
	}
	sum.Partial = s.partial(views)
	return sum
}

// add adds an address to the sums.
func (s *Summary) add(a *AddressView) {
	s.Unexpected, s.Missing = s.Unexpected.Union(a.Unexpected), s.Missing.Union(a.Missing)
	s.Open += a.Count(scan.Open)
	for _, n := range a.Unknown {
		s.Unknown += n
	}
	for _, c := range []struct {
		counter *int
		counted bool
	}{
		{&s.WithUnexpected, !a.Unexpected.IsEmpty()},
		{&s.WithMissing, !a.Missing.IsEmpty()},
		{&s.Suspect, a.Suspicion != scan.NotSuspect},
		{&s.Dark, a.Dark},
	} {
		if c.counted {
			*c.counter++
		}
	}
	if by := a.record.newest.by; s.Finished.IsZero() || by.finished.Before(s.Finished) {
		s.Started, s.Finished = by.started, by.finished
	}
}

// maxHosts is the maximum number of a target's addresses that are looked up to find those that
// were not scanned.
const maxHosts = 100_000

// partial reports whether the target may have addresses without a result. It has if there is a
// name, because only a scan of the complete target resolves it.
func (s *snapshot) partial(views []*AddressView) bool {
	if !s.configured || len(views) == 0 {
		return true
	}
	scanned := make(map[netip.Addr]bool, len(views))
	for _, a := range views {
		scanned[a.IP] = true
	}
	count := 0
	for _, h := range s.task.Hosts {
		if h.IsName() {
			return true
		}
		if !s.task.Family.IncludesHost(h) {
			continue
		}
		for ip := range h.All() {
			count++
			_, inScope := s.task.Scope.Match(ip)
			if count > maxHosts || inScope && !scanned[ip.Unmap()] {
				return true
			}
		}
	}
	return false
}
