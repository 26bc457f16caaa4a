package coordinator

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/scan"
)

// Sight is what the last scan of a whole target with one module has shown, for people to
// look at. It is not to be changed, and may be read concurrently.
type Sight struct {
	Target, Module string
	Plan           scan.Plan
	Started        time.Time
	Finished       time.Time
	Failed         map[scan.Failure]error
	Refused        []netip.Addr    // resolved, outside the target's networks, and not touched
	Addresses      []*AddressSight // in rising order of address
	Gone           int             // further addresses of that scan, of which nothing is remembered any more

	task    scan.Task
	scanned []netip.Addr
}

// AddressSight is what the last scan of an address has shown, be it with its whole
// target or alone.
type AddressSight struct {
	scan.Address

	Finished   time.Time
	States     map[scan.State]scan.PortSet // each port of the plan once
	Details    map[uint16]scan.PortResult  // of the open and the watched ports, 1000 at the most
	Unknown    map[scan.Cause]int          // unknown ports by cause
	Responding bool                        // it answered something
	Suspect    bool                        // something in between is likely to answer for it
	Opened     scan.PortSet                // seen open once

	changed map[uint16]lastChange
}

// size returns about how many bytes it takes.
func (a *AddressSight) size() int {
	const base, perRange, perDetail = 600, 6, 120
	ranges := 0
	for _, ports := range a.States {
		ranges += ports.Ranges()
	}
	return base + perRange*ranges + perDetail*len(a.Details)
}

// LastChange returns when the scan ended that last saw the port in another state than
// the one before.
func (a *AddressSight) LastChange(port uint16) (time.Time, bool) {
	c, ok := a.changed[port]
	return c.at, ok
}

// Success tells whether the state of every port of every address is known by now: by
// the scan of the whole target, or by a later one of an address that it left unknown.
func (s *Sight) Success() bool {
	if len(s.Failed) > 0 || len(s.Refused) > 0 || len(s.Addresses) == 0 || s.Gone > 0 {
		return false
	}
	return !slices.ContainsFunc(s.Addresses, func(a *AddressSight) bool { return !a.States[scan.Unknown].IsEmpty() })
}

// Unexpected returns the ports that are open and should not be.
func (s *Sight) Unexpected(a *AddressSight) scan.PortSet {
	e := s.Plan.Spec().Expect
	if e == nil {
		return scan.PortSet{}
	}
	return a.States[scan.Open].Minus(e.Open).Minus(e.Allow)
}

// Missing returns the ports that should be open and are known not to be.
func (s *Sight) Missing(a *AddressSight) scan.PortSet {
	e := s.Plan.Spec().Expect
	if e == nil {
		return scan.PortSet{}
	}
	return a.States[scan.Closed].Union(a.States[scan.Filtered]).Intersect(e.Open)
}

// Sights returns what the last scans of whole targets have shown: of one target, or,
// where target is "", of all. They are in order of target and module. There is none of a
// target that was not scanned yet as it is configured now.
func (c *Coordinator) Sights(target string) []*Sight {
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []*Sight
	for g, s := range m.sights.whole {
		if target != "" && g.target != target {
			continue
		}
		s.Addresses = make([]*AddressSight, 0, len(s.scanned))
		for _, ip := range s.scanned {
			shown := m.sights.of[g][ip]
			if shown == nil {
				continue
			}
			a := *shown
			if r := m.seen[g][ip]; r != nil {
				a.Opened, a.changed = r.opened, r.changed
			}
			s.Addresses = append(s.Addresses, &a)
		}
		s.Gone = len(s.scanned) - len(s.Addresses)
		all = append(all, &s)
	}
	slices.SortFunc(all, func(a, b *Sight) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Module, b.Module))
	})
	return all
}

// mostDetails is of how many ports of an address details are kept.
const mostDetails = 1000

// sightOf takes from a result what is kept of it.
func sightOf(a *scan.AddressResult, finished time.Time) *AddressSight {
	s := &AddressSight{
		Address: a.Address, Finished: finished, States: a.ByState(), Unknown: a.UnknownBy(),
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

// mostSights is how many bytes, about, all sights of addresses may take.
const mostSights = 32 << 20

// sights is what people are shown, under the memory's lock.
type sights struct {
	whole map[group]Sight // the last scan of a whole target, without its addresses
	of    map[group]map[netip.Addr]*AddressSight
	size  int
}

func newSights() sights {
	return sights{whole: make(map[group]Sight), of: make(map[group]map[netip.Addr]*AddressSight)}
}

// note keeps what a scan has shown, unless the configuration has another task by now.
// now is that one; the zero value: there is no configuration.
func (s *sights) note(g group, task, now scan.Task, r *scan.Result, shown []*AddressSight) {
	whole := task.Asked == task.Target
	if !now.Plan.IsZero() {
		whole = task.Equal(now)
		task.Hosts = now.Hosts // it may have been one address alone
		if !task.Equal(now) {
			return
		}
	}
	if whole && !s.whole[g].Finished.After(r.Finished) {
		sight := Sight{
			Target: task.Target, Module: task.Module, Plan: task.Plan, Started: r.Started, Finished: r.Finished,
			Failed: r.Failed, Refused: r.Refused, task: task,
		}
		for i := range r.Addresses {
			sight.scanned = append(sight.scanned, r.Addresses[i].IP)
		}
		s.whole[g] = sight
	}
	for _, a := range shown {
		if old := s.of[g][a.IP]; old == nil || !old.Finished.After(a.Finished) {
			s.put(g, a)
		}
	}
}

func (s *sights) put(g group, a *AddressSight) {
	if s.of[g] == nil {
		s.of[g] = make(map[netip.Addr]*AddressSight)
	}
	if old := s.of[g][a.IP]; old != nil {
		s.size -= old.size()
	}
	s.of[g][a.IP] = a
	if s.size += a.size(); s.size > mostSights {
		s.evict()
	}
}

// evict forgets the addresses whose last scan is the longest ago, a part of all at once.
func (s *sights) evict() {
	type place struct {
		g group
		a *AddressSight
	}
	var all []place
	for g, in := range s.of {
		for _, a := range in {
			all = append(all, place{g, a})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return a.a.Finished.Compare(b.a.Finished) })
	for _, p := range all {
		if s.size <= mostSights-mostSights/16 {
			return
		}
		s.size -= p.a.size()
		delete(s.of[p.g], p.a.IP)
	}
}

// outdate forgets what the configuration has otherwise now, or no more.
func (s *sights) outdate(current map[group]scan.Task) {
	maps.DeleteFunc(s.whole, func(g group, sight Sight) bool {
		now, ok := current[g]
		return !ok || !sight.task.Equal(now)
	})
	for g, in := range s.of {
		if _, ok := s.whole[g]; ok {
			continue
		}
		for _, a := range in {
			s.size -= a.size()
		}
		delete(s.of, g)
	}
}
