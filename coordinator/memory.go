package coordinator

import (
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/scan"
)

// Bounds of what is remembered. What goes first is what was seen the longest ago.
const (
	mostOpened     = 1000    // ports of an address that were open once
	mostChanged    = 1000    // ports of an address with the time of their last change
	mostAddresses  = 100_000 // in all
	mostRemembered = 1 << 20 // ranges of ports and times of changes, some 16 bytes each, in all
)

// memory is what scans have shown of addresses, by target and module. It has a lock of
// its own, which is held across no call to anything else.
type memory struct {
	mu      sync.Mutex
	current map[group]scan.Task // what the configuration has; nil: anything
	seen    map[group]map[netip.Addr]*remembered
	whole   map[group]Sight // the last scan of a whole target; its addresses are in seen
	count   int             // addresses
	size    int             // of them all
	history history
}

// remembered is what is known of an address from earlier scans. It does not change: a
// scan puts another one in its place.
type remembered struct {
	last    time.Time                   // when the last scan began that is in it
	states  map[scan.State]scan.PortSet // by the last complete scan of the address
	opened  scan.PortSet                // seen open once
	changed map[uint16]lastChange
	shown   *AddressSight // by the last scan; nil: by one before the program began
}

func (r *remembered) size() int {
	n := 1 + r.opened.Ranges() + 4*len(r.changed)
	for _, ports := range r.states {
		n += ports.Ranges()
	}
	if r.shown != nil {
		n += 8 + 4*len(r.shown.Details)
		for _, ports := range r.shown.States {
			n += ports.Ranges()
		}
	}
	return n
}

func newMemory() *memory {
	return &memory{seen: make(map[group]map[netip.Addr]*remembered), whole: make(map[group]Sight), history: newHistory()}
}

// Memory is what earlier scans have shown of a result's addresses. It may be used
// concurrently; the zero value knows nothing.
type Memory struct {
	byIP map[netip.Addr]*remembered
}

// Opened returns the ports of an address that a scan saw open.
func (m Memory) Opened(ip netip.Addr) scan.PortSet {
	if r := m.byIP[ip]; r != nil {
		return r.opened
	}
	return scan.PortSet{}
}

// LastChange returns when the scan ended that last saw the port in another state than
// the one before.
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

// opened returns the ports that were open once on one of the addresses.
func (m *memory) opened(g group, found []scan.Address) (ports scan.PortSet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, a := range found {
		if r := m.seen[g][a.IP.Unmap()]; r != nil && !r.opened.IsEmpty() {
			ports = ports.Union(r.opened)
		}
	}
	return ports
}

// learn takes a scan's result in, and returns the changes to tell of, and how many more
// there were. An address that is suspect teaches nothing: it is not the host that
// answers. altered tells whether there is something new to save.
func (m *memory) learn(task scan.Task, r *scan.Result) (told []Change, more int, altered bool) {
	shown := make([]*AddressSight, len(r.Addresses))
	for i := range r.Addresses {
		shown[i] = sightOf(&r.Addresses[i], r.Finished)
	}
	g := groupOf(task)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.current[g]; !ok && m.current != nil {
		return nil, 0, false // it has left the configuration in the meantime
	}
	shows := m.shows(g, task)
	if shows {
		m.note(g, task, r)
	}
	for _, a := range shown {
		old := m.seen[g][a.IP]
		if old == nil {
			old = &remembered{}
		}
		if old.last.After(r.Started) {
			if old.shown == nil && shows { // what came later is known from a file, without details
				again := *old
				again.show(a, old, shows)
				m.put(g, a.IP, &again)
			}
			continue
		}
		next, changes, untold := old.next(a, task, r)
		next.show(a, old, shows)
		told, more = append(told, changes...), more+untold
		altered = altered || len(changes)+untold > 0 || (old.states == nil) != (next.states == nil) || !next.opened.Equal(old.opened)
		m.put(g, a.IP, next)
	}
	slices.SortStableFunc(told, byWeight)
	if over := len(told) - mostTold; over > 0 {
		told, more = told[:mostTold], more+over
	}
	m.history.add(task.Target, told)
	return told, more, altered
}

// next returns what is remembered after another scan, and what has changed.
func (r *remembered) next(a *AddressSight, task scan.Task, by *scan.Result) (next *remembered, told []Change, untold int) {
	next = &remembered{last: by.Started, states: r.states, opened: r.opened, changed: r.changed}
	if a.Suspect {
		return next, nil, 0
	}
	next.opened = recall(r, a.States[scan.Open])
	if a.States[scan.Unknown].IsEmpty() {
		told, untold = next.compare(a.IP, a.States, task, by.Finished)
		next.states = a.States
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
		if o := order(open.Contains(a), open.Contains(b)); o != 0 {
			return o
		}
		return r.changed[b].at.Compare(r.changed[a].at)
	})
	return scan.NewPortSet(ports[:mostOpened]...)
}

// put remembers an address. The caller holds the lock.
func (m *memory) put(g group, ip netip.Addr, r *remembered) {
	m.drop(g, ip)
	for m.count > 0 && (m.count >= mostAddresses || m.size+r.size() > mostRemembered) {
		m.drop(m.oldest())
	}
	if m.seen[g] == nil {
		m.seen[g] = make(map[netip.Addr]*remembered)
	}
	m.seen[g][ip] = r
	m.count++
	m.size += r.size()
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

// oldest returns whose last scan is the longest ago. The caller holds the lock.
func (m *memory) oldest() (at group, ip netip.Addr) {
	var oldest *remembered
	for g, in := range m.seen {
		for a, r := range in {
			if oldest == nil || r.last.Before(oldest.last) {
				oldest, at, ip = r, g, a
			}
		}
	}
	return at, ip
}

// reconfigured forgets what the configuration no longer has: targets, modules of
// theirs, addresses, ports.
func (m *memory) reconfigured(tasks []scan.Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = make(map[group]scan.Task, len(tasks))
	targets := make(map[string]bool)
	for _, t := range tasks {
		m.current[groupOf(t)] = t
		targets[t.Target] = true
	}
	outdated := m.outdate()
	for g, in := range m.seen {
		t, ok := m.current[g]
		for ip, r := range maps.Clone(in) {
			if _, inScope := t.Scope.Match(ip); !ok || !inScope {
				m.drop(g, ip)
			} else if less, ok := r.within(t.Plan.Ports(), !outdated[g]); ok {
				m.put(g, ip, less)
			}
		}
	}
	m.history.keep(targets)
}

// within returns what is remembered of some ports alone, and whether that is less. What
// people are shown of the address is kept with all of the rest or not at all; seen tells
// whether it still holds.
func (r *remembered) within(ports scan.PortSet, seen bool) (*remembered, bool) {
	all := r.opened.Union(scan.NewPortSet(slices.Collect(maps.Keys(r.changed))...))
	for _, in := range r.states {
		all = all.Union(in)
	}
	if all.Minus(ports).IsEmpty() {
		if seen || r.shown == nil {
			return r, false
		}
		unseen := *r
		unseen.shown = nil
		return &unseen, true
	}
	less := &remembered{
		last: r.last, states: make(map[scan.State]scan.PortSet), opened: r.opened.Intersect(ports), changed: maps.Clone(r.changed),
	}
	for s, in := range r.states {
		less.states[s] = in.Intersect(ports)
	}
	maps.DeleteFunc(less.changed, func(port uint16, _ lastChange) bool { return !ports.Contains(port) })
	return less, true
}
