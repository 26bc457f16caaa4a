package coordinator

import (
	"cmp"
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
func (c *Coordinator) Sights(target string) []Sight {
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Sight
	for g, s := range m.whole {
		if target != "" && g.target != target {
			continue
		}
		s.Addresses = make([]*AddressSight, 0, len(s.scanned))
		for _, ip := range s.scanned {
			if r := m.seen[g][ip]; r != nil && r.shown != nil {
				s.Addresses = append(s.Addresses, r.shown)
			}
		}
		s.Gone = len(s.scanned) - len(s.Addresses)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Sight) int {
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

// note keeps when and how a whole target was scanned. The caller holds the lock.
func (m *memory) note(g group, task scan.Task, r *scan.Result) {
	if task.Asked != task.Target || m.whole[g].Started.After(r.Started) {
		return
	}
	s := Sight{
		Target: task.Target, Module: task.Module, Plan: task.Plan, Started: r.Started, Finished: r.Finished,
		Failed: r.Failed, Refused: r.Refused, task: task,
	}
	for i := range r.Addresses {
		s.scanned = append(s.scanned, r.Addresses[i].IP)
	}
	m.whole[g] = s
}

// shows tells whether people are to see what a scan of the task has shown: not if the
// configuration has another one by now. The caller holds the lock.
func (m *memory) shows(g group, task scan.Task) bool {
	if m.current == nil {
		return true
	}
	now := m.current[g]
	if task.Asked != task.Target { // one address of it
		task.Hosts = now.Hosts
	}
	return task.Equal(now)
}

// show has people see what a scan has shown of an address, beside what is remembered of
// it; or, unless shows, what they saw before. Nobody else has either of them yet.
func (r *remembered) show(a *AddressSight, before *remembered, shows bool) {
	if r.shown = before.shown; shows {
		a.Opened, a.changed = r.opened, r.changed
		r.shown = a
	}
}

// outdate forgets the sights of what the configuration has otherwise now, or no more,
// and returns of what. The caller holds the lock.
func (m *memory) outdate() map[group]bool {
	gone := make(map[group]bool)
	for g, s := range m.whole {
		if now, ok := m.current[g]; !ok || !s.task.Equal(now) {
			gone[g] = true
			delete(m.whole, g)
		}
	}
	return gone
}
