// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// Summary is the sum of the latest results of a target with one module. It is updated at
// the end of each scan, so that reading it is cheap.
type Summary struct {
	Target, Module string
	Plan           scan.Plan
	Whole          bool // the complete target was scanned, not only some addresses
	Others         bool // only some addresses were scanned
	Started        time.Time
	Finished       time.Time // of the complete target's scan, or else of the oldest scan of an address
	Failed         map[scan.Failure]error
	Refused        []netip.Addr // resolved outside the target's networks and not scanned
	Scanned        int          // number of addresses with results
	Gone           int          // number of addresses whose results were evicted

	Unexpected, Missing scan.PortSet // on any address
	WithUnexpected      int          // addresses
	WithMissing         int          // addresses
	Open, Unknown       int          // ports of addresses
	Suspect             int          // addresses
}

// Success reports whether the state of each port of each address is known, from the scan of
// the complete target or from a later scan of an address.
func (s *Summary) Success() bool {
	return len(s.Failed) == 0 && len(s.Refused) == 0 && s.Scanned > 0 && s.Gone == 0 && s.Unknown == 0 && !s.Others
}

// Sight is a summary with its addresses for the status pages. It is read-only and may be
// used concurrently.
type Sight struct {
	Summary

	Addresses []*AddressSight // in ascending order
}

// AddressSight is the result of the latest scan of an address.
type AddressSight struct {
	scan.Address

	// The fields that decide the verdict. They are stored while the address is configured.
	Finished   time.Time
	Unexpected scan.PortSet       // open and must not be
	Missing    scan.PortSet       // must be open and is known not to be
	Unknown    map[scan.Cause]int // unknown ports by cause
	Responding bool               // a port answered
	Suspect    bool               // a middlebox probably answers for it
	Opened     scan.PortSet       // open in any scan

	// The states of all ports. They are evicted if there are too many addresses.
	Forgotten bool
	States    map[scan.State]scan.PortSet // all ports of the plan
	Details   map[uint16]scan.PortResult  // of open and watched ports, at most 1000

	counts  [scan.OpenFiltered + 1]int // ports by state
	changed map[uint16]lastChange
}

// Count returns the number of ports in the state.
func (a *AddressSight) Count(s scan.State) int { return a.counts[s] }

// Violating reports whether a port violates the target's expectations.
func (a *AddressSight) Violating() bool { return !a.Unexpected.IsEmpty() || !a.Missing.IsEmpty() }

// LastChange returns the time of the port's last state change, the end of the scan that
// detected it.
func (a *AddressSight) LastChange(port uint16) (time.Time, bool) {
	c, ok := a.changed[port]
	return c.at, ok
}

// size returns about how many bytes the picture takes.
func (a *AddressSight) size() int {
	if a.Forgotten {
		return 0
	}
	const base, perRange, perDetail = 600, 6, 120
	ranges := 0
	for _, ports := range a.States {
		ranges += ports.RangeCount()
	}
	return base + perRange*ranges + perDetail*len(a.Details)
}

// judge takes from the picture what a verdict stands on.
func (a *AddressSight) judge(expect *scan.Expectation) {
	for state, ports := range a.States {
		a.counts[state] = ports.Len()
	}
	a.Unexpected, a.Missing = expect.Violations(a.States)
}

// forget returns what is left when the picture is forgotten.
func (a *AddressSight) forget() *AddressSight {
	less := *a
	less.Forgotten, less.States, less.Details = true, nil, nil
	return &less
}

// Summaries returns the summaries of all targets in order of target and module, without
// targets that were not scanned with the current configuration.
func (c *Coordinator) Summaries() []Summary {
	m := c.memory
	m.mu.Lock()
	all := make([]Summary, 0, len(m.sights.of))
	for _, in := range m.sights.of {
		if in.any() {
			all = append(all, in.sum())
		}
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b Summary) int { return compareSummaries(&a, &b) })
	return all
}

func compareSummaries(a, b *Summary) int {
	return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module))
}

// Sights returns the summaries of a target, or of all targets if target is empty, with
// their addresses.
func (c *Coordinator) Sights(target string) []*Sight {
	type known struct {
		shown *AddressSight
		from  *remembered
	}
	m := c.memory
	var all []*Sight
	of := make(map[*Sight][]known)
	m.mu.Lock()
	for g, in := range m.sights.of {
		if target != "" && g.target != target || !in.any() {
			continue
		}
		s := &Sight{Summary: in.sum()}
		all = append(all, s)
		for ip, a := range in.addresses {
			of[s] = append(of[s], known{a, m.seen[g][ip]})
		}
	}
	m.mu.Unlock()
	for _, s := range all { // neither an address's sight nor what is remembered of it ever changes
		for _, k := range of[s] {
			a := *k.shown
			if k.from != nil {
				a.Opened, a.changed = k.from.opened, k.from.changed
			}
			s.Addresses = append(s.Addresses, &a)
		}
		slices.SortFunc(s.Addresses, func(a, b *AddressSight) int { return a.IP.Compare(b.IP) })
	}
	slices.SortFunc(all, func(a, b *Sight) int { return compareSummaries(&a.Summary, &b.Summary) })
	return all
}

// mostDetails is of how many ports of an address details are kept.
const mostDetails = 1000

// sightOf takes from a result what is kept of it.
func sightOf(a *scan.AddressResult, finished time.Time) *AddressSight {
	s := &AddressSight{
		Address: a.Address, Finished: finished, States: a.ByState(), Unknown: a.UnknownByCause(),
		Responding: a.Responding(), Suspect: a.Suspect(), Details: make(map[uint16]scan.PortResult),
	}
	for r := range a.Watched() {
		if len(s.Details) == mostDetails {
			break
		}
		s.Details[r.Port] = r
	}
	return s
}
