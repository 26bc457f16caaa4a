// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"maps"
	"slices"

	"portscan_exporter/internal/scan"
)

// reconfigured forgets what the configuration no longer has: targets, modules of
// theirs, addresses, ports; and what people were shown of tasks that are other ones now.
func (m *memory) reconfigured(tasks []scan.Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.current = make(map[group]scan.Task, len(tasks))
	for _, t := range tasks {
		m.current[groupOf(t)] = t
	}
	for g, in := range m.seen {
		t, ok := m.current[g]
		for ip, r := range maps.Clone(in) {
			if _, inScope := t.Scope.Match(ip); !ok || !inScope {
				m.drop(g, ip)
			} else if less, ok := r.within(t.Plan.Ports()); ok {
				m.put(g, ip, less)
			}
		}
	}
	m.history.keep(func(target string, c Change) bool {
		t, ok := m.current[group{target: target, module: c.Module, protocol: c.Protocol}]
		_, inScope := t.Scope.Match(c.IP)
		return ok && inScope && t.Plan.Ports().Contains(c.Port)
	})
	m.sights.outdate(m.current)
}

// within returns what is remembered of some ports alone, and whether that is less.
func (r *remembered) within(ports scan.PortSet) (*remembered, bool) {
	all := r.opened.Union(scan.NewPortSet(slices.Collect(maps.Keys(r.changed))...))
	for _, in := range r.states {
		all = all.Union(in)
	}
	if all.Minus(ports).IsEmpty() {
		return r, false
	}
	less := &remembered{
		last: r.last, whole: r.whole, states: make(map[scan.State]scan.PortSet),
		opened: r.opened.Intersect(ports), changed: maps.Clone(r.changed),
	}
	for s, in := range r.states {
		less.states[s] = in.Intersect(ports)
	}
	maps.DeleteFunc(less.changed, func(port uint16, _ lastChange) bool { return !ports.Contains(port) })
	return less, true
}
