// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// Bounds of what is remembered. What goes first is what was seen the longest ago.
const (
	mostOpened    = 1000     // ports of an address that were open once
	mostChanged   = 1000     // ports of an address with the time of their last change
	mostWatched   = 1000     // ports that a scan watches because they were open once
	mostAddresses = 100_000  // in all
	mostBytes     = 32 << 20 // in all, about
)

// memory is what scans have shown of addresses, by target and module. It has a lock of
// its own, which is held across no call to anything else.
type memory struct {
	mu      sync.Mutex
	current map[group]scan.Task // what the configuration has; nil: anything
	seen    map[group]map[netip.Addr]*remembered
	count   int // addresses
	size    int // of them all, in bytes
	evicted int // addresses that there was no room for, since somebody was told
	history history
	sights  sights
}

// remembered is what is known of an address from earlier scans. It does not change: a
// scan puts another one in its place.
type remembered struct {
	last    time.Time                   // when the last scan of it ended
	whole   time.Time                   // when the last complete one began
	states  map[scan.State]scan.PortSet // by that one
	opened  scan.PortSet                // seen open once
	changed map[uint16]lastChange
}

// size returns about how many bytes it takes.
func (r *remembered) size() int {
	const base, perRange, perChange = 300, 6, 100
	ranges := r.opened.RangeCount()
	for _, ports := range r.states {
		ranges += ports.RangeCount()
	}
	return base + perRange*ranges + perChange*len(r.changed)
}

func newMemory() *memory {
	return &memory{seen: make(map[group]map[netip.Addr]*remembered), history: newHistory(), sights: newSights()}
}

// Memory is the port history of a result's addresses. The zero value is empty. It may be
// used concurrently.
type Memory struct {
	byIP map[netip.Addr]*remembered
}

// Opened returns the ports of an address that were open in any scan.
func (m Memory) Opened(ip netip.Addr) scan.PortSet {
	if r := m.byIP[ip]; r != nil {
		return r.opened
	}
	return scan.PortSet{}
}

// LastChange returns the time of the port's last state change, the end of the scan that
// detected it.
func (m Memory) LastChange(ip netip.Addr, port uint16) (time.Time, bool) {
	r := m.byIP[ip]
	if r == nil {
		return time.Time{}, false
	}
	c, ok := r.changed[port]
	return c.at, ok
}

// of returns what is remembered of the addresses of a result.
func (m *memory) of(g group, r *scan.Result) Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	by := make(map[netip.Addr]*remembered, len(r.Addresses))
	for i := range r.Addresses {
		by[r.Addresses[i].IP] = m.seen[g][r.Addresses[i].IP]
	}
	return Memory{byIP: by}
}

// opened returns the ports that were open once on one of the addresses; of too many,
// those of the first addresses.
func (m *memory) opened(g group, found []scan.Address) (ports scan.PortSet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range found {
		r := m.seen[g][a.IP.Unmap()]
		if r == nil || r.opened.IsEmpty() {
			continue
		}
		more := ports.Union(r.opened)
		if more.Len() > mostWatched {
			break
		}
		ports = more
	}
	return ports
}

// news is what a scan has brought.
type news struct {
	told    []Change // to tell of
	more    int      // changes beyond those
	altered bool     // there is something to save
	evicted int      // addresses that were forgotten for want of room
}

// learn takes a scan's result in. An address that is suspect teaches nothing: it is not
// the host that answers.
func (m *memory) learn(task scan.Task, r *scan.Result) (n news) {
	shown := make([]*AddressSight, len(r.Addresses))
	for i := range r.Addresses {
		shown[i] = sightOf(&r.Addresses[i], r.Finished)
	}
	g := groupOf(task)
	m.mu.Lock()
	defer m.mu.Unlock()
	now, known := m.current[g]
	if !known && m.current != nil {
		return n // it has left the configuration in the meantime
	}
	m.sights.note(g, task, now, r, shown)
	for _, a := range shown {
		if _, inScope := now.Scope.Match(a.IP); a.Suspect || known && !inScope {
			continue
		}
		old := m.seen[g][a.IP]
		if old == nil {
			old = &remembered{}
		}
		next, changes, untold := old.next(a, task, r)
		n.told, n.more = append(n.told, changes...), n.more+untold
		n.altered = n.altered || !maps.EqualFunc(old.states, next.states, scan.PortSet.Equal) || !next.opened.Equal(old.opened)
		m.put(g, a.IP, next)
	}
	slices.SortStableFunc(n.told, byWeight)
	room := m.history.room(task.Target, r.Finished)
	if over := len(n.told) - room; over > 0 {
		n.told, n.more = n.told[:room], n.more+over
	}
	m.history.add(task.Target, n.told)
	n.evicted, m.evicted = m.evicted, 0
	return n
}

// next returns what is remembered after another scan, and what has changed. A scan that
// began before the last complete one says what was open, and nothing of changes.
func (r *remembered) next(a *AddressSight, task scan.Task, by *scan.Result) (next *remembered, told []Change, untold int) {
	next = &remembered{last: by.Finished, whole: r.whole, states: r.states, opened: recall(r, a.States[scan.Open]), changed: r.changed}
	if a.States[scan.Unknown].IsEmpty() && !by.Started.Before(r.whole) {
		told, untold = next.compare(a.IP, a.States, task, by.Finished)
		next.whole, next.states = by.Started, a.States
	}
	return next, told, untold
}

// recall returns the ports that were open once. Of too many it leaves those out that
// are closed, and have been the longest.
func recall(r *remembered, open scan.PortSet) scan.PortSet {
	if open.Minus(r.opened).IsEmpty() {
		return r.opened
	}
	all := r.opened.Union(open)
	if all.Len() <= mostOpened {
		return all
	}
	ports := slices.Collect(all.All())
	slices.SortStableFunc(ports, func(a, b uint16) int {
		return cmp.Or(order(open.Contains(a), open.Contains(b)), r.changed[b].at.Compare(r.changed[a].at))
	})
	return scan.NewPortSet(ports[:mostOpened]...)
}

// put remembers an address. The caller holds the lock.
func (m *memory) put(g group, ip netip.Addr, r *remembered) {
	m.drop(g, ip)
	if m.seen[g] == nil {
		m.seen[g] = make(map[netip.Addr]*remembered)
	}
	m.seen[g][ip] = r
	m.count++
	m.size += r.size()
	if m.count > mostAddresses || m.size > mostBytes {
		m.evict()
	}
}

// drop forgets an address. The caller holds the lock.
func (m *memory) drop(g group, ip netip.Addr) {
	old := m.seen[g][ip]
	if old == nil {
		return
	}
	m.count--
	m.size -= old.size()
	delete(m.seen[g], ip)
	if len(m.seen[g]) == 0 {
		delete(m.seen, g)
	}
}

// evict forgets addresses whose last scan is the longest ago: a part of all at once,
// since it looks at every one. The caller holds the lock.
func (m *memory) evict() {
	type place struct {
		g    group
		ip   netip.Addr
		last time.Time
	}
	all := make([]place, 0, m.count)
	for g, in := range m.seen {
		for ip, r := range in {
			all = append(all, place{g, ip, r.last})
		}
	}
	slices.SortFunc(all, func(a, b place) int { return a.last.Compare(b.last) })
	for _, p := range all {
		if m.count <= mostAddresses-mostAddresses/16 && m.size <= mostBytes-mostBytes/16 {
			return
		}
		m.drop(p.g, p.ip)
		m.evicted++
	}
}
