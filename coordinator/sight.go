package coordinator

import (
	"net/netip"
	"slices"
	"strings"
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
	Success        bool
	Failed         map[scan.Failure]error
	Refused        []netip.Addr
	Addresses      []AddressSight // in rising order of address
	scanned        []netip.Addr
}

// AddressSight is what the last scan of an address has shown, be it with its whole
// target or alone.
type AddressSight struct {
	scan.Address

	Finished   time.Time
	States     map[scan.State]scan.PortSet // each port of the plan once
	Details    map[uint16]scan.PortResult  // of the open and the watched ports
	Unknown    map[scan.Cause]int          // unknown ports by cause
	Responding bool                        // it answered something
	Suspect    bool                        // something in between is likely to answer for it
	Opened     scan.PortSet                // seen open once
	Changed    map[uint16]time.Time        // last changes of ports
}

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

// mostDetails is of how many ports of an address details are kept.
const mostDetails = 1000

// note keeps when and how a whole target was scanned. The caller holds the lock.
func (m *memory) note(g group, task scan.Task, r *scan.Result) {
	if task.Asked != task.Target || m.whole[g].Started.After(r.Started) {
		return
	}
	s := Sight{
		Target: task.Target, Module: task.Module, Plan: task.Plan, Started: r.Started, Finished: r.Finished,
		Success: r.Success(), Failed: r.Failed, Refused: r.Refused,
	}
	for i := range r.Addresses {
		s.scanned = append(s.scanned, r.Addresses[i].IP)
	}
	m.whole[g] = s
}

// Sights returns what the last scans of whole targets have shown: of one target, or,
// where target is "", of all. They are in order of target and module.
func (c *Coordinator) Sights(target string) []Sight {
	m := c.memory
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []Sight
	for g, s := range m.whole {
		if target != "" && g.target != target {
			continue
		}
		for _, ip := range s.scanned {
			r := m.seen[g][ip]
			if r == nil || r.shown == nil {
				continue
			}
			a := *r.shown
			a.Opened, a.Changed = r.opened, make(map[uint16]time.Time, len(r.changed))
			for port, change := range r.changed {
				a.Changed[port] = change.at
			}
			s.Addresses = append(s.Addresses, a)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b Sight) int {
		if o := strings.Compare(a.Target, b.Target); o != 0 {
			return o
		}
		return strings.Compare(a.Module, b.Module)
	})
	return all
}

// Unexpected returns the ports that are open and should not be.
func (s Sight) Unexpected(a AddressSight) scan.PortSet {
	e := s.Plan.Spec().Expect
	if e == nil {
		return scan.PortSet{}
	}
	return a.States[scan.Open].Minus(e.Open).Minus(e.Allow)
}

// Missing returns the ports that should be open and are known not to be.
func (s Sight) Missing(a AddressSight) scan.PortSet {
	e := s.Plan.Spec().Expect
	if e == nil {
		return scan.PortSet{}
	}
	return a.States[scan.Closed].Union(a.States[scan.Filtered]).Intersect(e.Open)
}
