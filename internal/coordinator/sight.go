package coordinator

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// Summary is what the last scans of a target with one module have shown, in sum. It is
// kept up to date as they end, so that it costs nothing to ask for it.
type Summary struct {
	Target, Module string
	Plan           scan.Plan
	Whole          bool // the whole target was scanned, and not only addresses of it
	Others         bool // not so: further addresses of the target were never scanned, or may be there
	Started        time.Time
	Finished       time.Time // of the whole target's scan; without one, of the address whose scan is the longest ago
	Failed         map[scan.Failure]error
	Refused        []netip.Addr // resolved, outside the target's networks, and not touched
	Scanned        int          // addresses of which something is known
	Gone           int          // further addresses of that scan, of which nothing is remembered any more

	Unexpected, Missing scan.PortSet // on any address
	WithUnexpected      int          // addresses
	WithMissing         int          // addresses
	Open, Unknown       int          // ports of addresses
	Suspect             int          // addresses
}

// Success tells whether the state of every port of every address is known by now: by
// the scan of the whole target, or by a later one of an address that it left unknown.
func (s *Summary) Success() bool {
	return len(s.Failed) == 0 && len(s.Refused) == 0 && s.Scanned > 0 && s.Gone == 0 && s.Unknown == 0 && !s.Others
}

// Sight is a summary with its addresses, for people to look at. It is not to be changed,
// and may be read concurrently.
type Sight struct {
	Summary

	Addresses []*AddressSight // in rising order of address
}

// AddressSight is what the last scan of an address has shown, be it with its whole
// target or alone.
type AddressSight struct {
	scan.Address

	// What a verdict stands on. It is kept for as long as the configuration has the address.
	Finished   time.Time
	Unexpected scan.PortSet       // open, and should not be
	Missing    scan.PortSet       // known not to be open, and should be
	Unknown    map[scan.Cause]int // unknown ports by cause
	Responding bool               // it answered something
	Suspect    bool               // something in between is likely to answer for it
	Opened     scan.PortSet       // seen open once

	// The picture of it. Where there are too many it is forgotten.
	Forgotten bool
	States    map[scan.State]scan.PortSet // each port of the plan once
	Details   map[uint16]scan.PortResult  // of the open and the watched ports, 1000 at the most

	counts  [scan.OpenFiltered + 1]int // ports by state
	changed map[uint16]lastChange
}

// Count returns how many ports are in the state.
func (a *AddressSight) Count(s scan.State) int { return a.counts[s] }

// Violating tells whether a port is not as it should be.
func (a *AddressSight) Violating() bool { return !a.Unexpected.IsEmpty() || !a.Missing.IsEmpty() }

// LastChange returns when the scan ended that last saw the port in another state than
// the one before.
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

// Summaries returns what the last scans of all targets have shown, in sum, in order of
// target and module. There is none of a target that was not scanned yet as it is
// configured now.
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

// Sights returns the same with every address: of one target, or, where target is "", of
// all.
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
