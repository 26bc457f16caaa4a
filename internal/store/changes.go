// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// Limits of the log of changes.
const (
	maxLogged     = 1000      // changes of ports, and of addresses, per scan; the others are counted
	maxLoggedSpan = 3000      // changes of a target and module in flapSpan
	flapSpan      = time.Hour // in which changes are counted
	maxFlaps      = 10        // logged changes of a port in flapSpan
	maxChanges    = 100       // stored changes of a target and module
	maxChangeSets = 256       // sets of ports of an address that changed at the same times
)

// ChangeKind is the kind of a [Change].
type ChangeKind uint8

// The kinds of changes.
const (
	PortChanged ChangeKind = iota // the state of a port, between two complete scans of its address
	NewHost                       // an address of a network that was silent responds for the first time
)

// String returns the name of the kind in the state file.
func (k ChangeKind) String() string {
	if k == NewHost {
		return "new_host"
	}
	return "port_changed"
}

// Change is a change that a scan detected.
type Change struct {
	Kind     ChangeKind
	Time     time.Time // end of the scan that detected it
	Module   string
	IP       netip.Addr
	Protocol scan.Protocol // of the module

	// Of a port.
	Port     uint16
	From, To scan.State
	Expected scan.Expected
	Flapping bool // the port changes often, and its next changes are not logged
}

// Violating reports whether the new state of a port violates the target's expectations.
func (c Change) Violating() bool { return c.Kind == PortChanged && c.Expected.ViolatedBy(c.To) }

// changeCount counts the changes of a port or an address in flapSpan.
type changeCount struct {
	at    time.Time // the last change
	since time.Time // when counting began
	times int       // since then
}

// next counts a change. It reports whether to log the change, and whether it is the last one that
// is logged for now.
func (c changeCount) next(at time.Time) (next changeCount, logged, last bool) {
	if at.Sub(c.since) >= flapSpan {
		c.since, c.times = at, 0
	}
	c.at, c.times = at, c.times+1
	return c, c.times <= maxFlaps, c.times == maxFlaps
}

// portChange has ports that changed at the same times.
type portChange struct {
	changeCount

	ports scan.PortSet
}

// changeLog has the last changes of a target and module.
type changeLog struct {
	changes []Change // oldest first; the slice's content is immutable
	since   time.Time
	logged  int // changes since then
}

// size returns about how many bytes the log takes.
func (l *changeLog) size() int {
	const perChange = 160
	return perChange * len(l.changes)
}

// budget returns how many changes may be logged at a time.
func (l *changeLog) budget(at time.Time) int {
	if at.Sub(l.since) >= flapSpan {
		l.since, l.logged = at, 0
	}
	return max(0, min(maxLogged, maxLoggedSpan-l.logged))
}

// add adds logged changes of ports, of which the first weigh most, and new hosts. If there are too
// many, half of the log is for each.
func (l *changeLog) add(newHosts, ports []Change) {
	if len(newHosts)+len(ports) == 0 {
		return
	}
	l.logged += len(ports)
	hosts := min(len(newHosts), max(maxChanges/2, maxChanges-len(ports)))
	newest := slices.Concat(newHosts[:hosts], ports)
	newest = newest[:min(len(newest), maxChanges)]
	slices.Reverse(newest) // those that weigh most are shown first
	all := slices.Concat(l.changes, newest)
	l.changes = slices.Clip(all[max(0, len(all)-maxChanges):])
}

// keep removes the changes of ports and addresses that a task does not have.
func (l *changeLog) keep(task scan.Task) {
	l.changes = slices.DeleteFunc(slices.Clone(l.changes), func(c Change) bool {
		_, ok := task.Scope.Match(c.IP)
		hasPort := c.Kind != PortChanged || task.Plan.Ports().Contains(c.Port)
		return !ok || !hasPort || c.Protocol != task.Plan.Spec().Protocol
	})
}

// Changes returns the last changes of a target, newest first.
func (s *Store) Changes(target string) (all []Change) {
	for _, e := range s.all(target) {
		e.mu.Lock()
		changes := e.changes.changes
		e.mu.Unlock()
		for _, c := range slices.Backward(changes) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b Change) int { return b.Time.Compare(a.Time) })
	return all[:min(len(all), maxChanges)]
}
