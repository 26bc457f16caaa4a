// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// modelScan is a scan of an address in the model.
type modelScan struct {
	finished time.Time
	states   map[uint16]scan.State
}

func (s modelScan) complete() bool {
	return !slices.Contains(slices.Collect(maps.Values(s.states)), scan.Unknown)
}

// addressModel has all scans of an address, and its history port by port.
type addressModel struct {
	scans                   []modelScan // with the present configuration, since the address was found
	opened                  map[uint16]bool
	baseline                map[uint16]scan.State // nil: none
	changed                 map[uint16]time.Time
	responded, dark, lastAt time.Time
}

// shown returns the states to show, computed from all scans, and the time of the oldest ones.
func (m *addressModel) shown(n int, now time.Time, keep time.Duration) (map[uint16]scan.State, time.Time) {
	newest := m.scans[n]
	if newest.complete() || n == 0 || keep == 0 {
		return newest.states, newest.finished
	}
	states, oldest := m.shown(n-1, newest.finished, keep)
	if now.After(oldest.Add(keep)) {
		return newest.states, newest.finished
	}
	states = maps.Clone(states)
	for port, s := range newest.states {
		if s != scan.Unknown {
			states[port] = s
		}
	}
	return states, oldest
}

// record adds a scan. Without outdated, the states are shown.
func (m *addressModel) record(states map[uint16]scan.State, responds bool, started, finished time.Time, outdated bool) {
	responded := !m.responded.IsZero()
	s := modelScan{finished: finished, states: states}
	if !outdated {
		m.scans, m.lastAt = append(m.scans, s), finished
	}
	for port, state := range states {
		if state == scan.Open {
			m.opened[port] = true
		}
	}
	switch {
	case responds:
		m.responded, m.dark = finished, time.Time{}
	case responded && s.complete():
		m.dark = started
	}
	if !s.complete() || !responds && responded {
		return
	}
	for port, state := range states {
		if before, ok := m.baseline[port]; ok && before != state {
			m.changed[port] = finished
		}
	}
	m.baseline = maps.Clone(states)
}

// restrict removes ports.
func (m *addressModel) restrict(ports scan.PortSet) {
	m.scans = nil
	maps.DeleteFunc(m.opened, func(p uint16, _ bool) bool { return !ports.Contains(p) })
	maps.DeleteFunc(m.changed, func(p uint16, _ time.Time) bool { return !ports.Contains(p) })
	maps.DeleteFunc(m.baseline, func(p uint16, _ scan.State) bool { return !ports.Contains(p) })
}

// targetModel is a target in the model.
type targetModel struct {
	task       scan.Task // zero: not configured
	addresses  map[string]*addressModel
	full       map[string]bool // addresses of the last full scan; nil: none
	evicted    map[string]bool
	unfinished map[string]*scan.Result // by address; empty: the complete target
}

// configure sets the task; the zero task removes the target.
func (m *targetModel) configure(task scan.Task) {
	switch {
	case task.Target == "" || m.task.Target == "":
		*m = targetModel{addresses: make(map[string]*addressModel), unfinished: make(map[string]*scan.Result)}
	case m.task.Key() != task.Key():
		m.full, m.evicted = nil, nil
		clear(m.unfinished)
		for _, a := range m.addresses {
			a.restrict(task.Plan.Ports())
		}
	}
	m.task = task
}

// record adds the result of a scan of the task.
func (m *targetModel) record(task scan.Task, r *scan.Result) {
	if m.task.Target == "" {
		return
	}
	outdated := task.Key().Digest != m.task.Key().Digest
	found := make(map[string]bool)
	for i := range r.Addresses {
		a := &r.Addresses[i]
		ip, states := a.IP.String(), make(map[uint16]scan.State)
		for p := range a.All() {
			states[p.Port] = p.State
		}
		if m.addresses[ip] == nil {
			m.addresses[ip] = &addressModel{opened: make(map[uint16]bool), changed: make(map[uint16]time.Time)}
		}
		m.addresses[ip].record(states, a.Responding(), r.Started, r.Finished, outdated)
		found[ip] = true
		if outdated {
			scans := m.addresses[ip].scans
			m.addresses[ip].restrict(m.task.Plan.Ports())
			m.addresses[ip].scans = scans
		} else {
			delete(m.evicted, ip)
		}
	}
	if !outdated && !task.Addr.IsValid() {
		m.recordFull(found, len(r.Failed) > 0 && task.MaxAge > 0)
	}
}

func (m *targetModel) recordFull(found map[string]bool, keep bool) {
	if keep {
		for ip := range m.full {
			found[ip] = found[ip] || m.addresses[ip] != nil && len(m.addresses[ip].scans) > 0
		}
		maps.DeleteFunc(found, func(_ string, ok bool) bool { return !ok })
	}
	for ip, a := range m.addresses {
		if !found[ip] {
			a.scans = nil
		}
	}
	m.full, m.evicted = found, make(map[string]bool)
}

// wantAddress returns the states that the model shows of an address.
func (m *targetModel) wantAddress(ip string, now time.Time) (string, bool) {
	a := m.addresses[ip]
	if a == nil || len(a.scans) == 0 {
		return "", false
	}
	states, _ := a.shown(len(a.scans)-1, now, keepFor(m.task))
	return fmt.Sprintf("%s: %s", ip, statesText(setsByState(states))), true
}
