// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"cmp"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// Bounds of what is told of changes.
const (
	mostTold      = 1000      // changes in one scan, a log line each; the others are counted
	mostToldSoon  = 3000      // changes of a target in flapSpan
	flapSpan      = time.Hour // in which a port's changes are counted, and a target's
	mostFlaps     = 10        // of them that are told of
	mostHistory   = 100       // changes kept of a target
	mostHistories = 20_000    // changes kept in all
)

// Change is a change of a port's state between two complete scans of its address.
type Change struct {
	Time     time.Time // end of the scan that detected it
	Module   string
	IP       netip.Addr
	Port     uint16
	Protocol scan.Protocol
	From, To scan.State
	Expected scan.Expected
	Flapping bool // the port changes often, and its next changes are not logged
}

// lastChange is when a port last changed, and how often in the last while.
type lastChange struct {
	at    time.Time
	since time.Time // when counting began
	times int       // since then
}

// again counts a change, and tells whether to tell of it, and that it is the last one
// told of for now.
func (l lastChange) again(at time.Time) (next lastChange, tell, last bool) {
	if at.Sub(l.since) >= flapSpan {
		l.since, l.times = at, 0
	}
	l.at, l.times = at, l.times+1
	return l, l.times <= mostFlaps, l.times == mostFlaps
}

// compare notes which ports are in another state now, and returns those to tell of, and
// how many more there are. Ports that the last complete scan did not cover are none.
func (r *remembered) compare(ip netip.Addr, now map[scan.State]scan.PortSet, task scan.Task, at time.Time) (told []Change, more int) {
	var all []Change
	for to, ports := range now {
		moved := ports.Minus(r.states[to])
		for from, before := range r.states {
			for port := range moved.Intersect(before).All() {
				all = append(all, Change{
					Time: at, Module: task.Module, IP: ip, Port: port, Protocol: task.Plan.Spec().Protocol,
					From: from, To: to, Expected: task.Plan.Expected(port),
				})
			}
		}
	}
	if len(all) == 0 {
		return nil, 0
	}
	slices.SortFunc(all, byWeight)
	more = max(0, len(all)-mostChanged)
	changed := maps.Clone(r.changed)
	if changed == nil {
		changed = make(map[uint16]lastChange)
	}
	for _, c := range all[:len(all)-more] {
		next, tell, last := changed[c.Port].again(at)
		changed[c.Port] = next
		if c.Flapping = last; tell {
			told = append(told, c)
		}
	}
	r.changed = latest(changed)
	return told, more
}

// latest leaves the oldest changes out, if there are too many. It owns its argument.
func latest(changed map[uint16]lastChange) map[uint16]lastChange {
	if len(changed) <= mostChanged {
		return changed
	}
	ports := slices.SortedFunc(maps.Keys(changed), func(a, b uint16) int {
		return cmp.Or(changed[b].at.Compare(changed[a].at), cmp.Compare(a, b))
	})
	for _, port := range ports[mostChanged:] {
		delete(changed, port)
	}
	return changed
}

// byWeight orders changes: first what should not be, then what concerns ports that are
// open or were, then the rest; by address and port.
func byWeight(a, b Change) int {
	return cmp.Or(cmp.Compare(a.weight(), b.weight()), a.IP.Compare(b.IP), cmp.Compare(a.Port, b.Port))
}

// Violating reports whether the new state violates the target's expectations.
func (c Change) Violating() bool { return c.Expected.ViolatedBy(c.To) }

func (c Change) weight() int {
	switch {
	case c.Violating():
		return 0
	case c.To == scan.Open || c.From == scan.Open:
		return 1
	default:
		return 2
	}
}

// order puts true before false.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	default:
		return 1
	}
}

// tell writes a line for each change.
func tell(logger *slog.Logger, task scan.Task, n news) {
	for _, c := range n.told {
		args := []any{
			"target", task.Target, "module", c.Module, "ip", c.IP, "port", c.Port, "protocol", c.Protocol.String(),
			"from", c.From.String(), "to", c.To.String(), "expected", c.Expected.String(),
		}
		if c.Flapping {
			args = append(args, "flapping", true)
		}
		logger.Info("Port state changed", args...)
	}
	if n.more > 0 {
		logger.Info("Omitted further port state changes", "target", task.Target, "module", task.Module, "ports", n.more)
	}
	if n.evicted > 0 {
		logger.Warn("Evicted port history of addresses", "addresses", n.evicted)
	}
}

// history keeps the last changes of each target, oldest first.
type history struct {
	byTarget map[string][]Change
	count    int
	told     map[string]toldOf
}

// toldOf is how much was told of a target's changes in the last while.
type toldOf struct {
	since time.Time
	lines int
}

func newHistory() history {
	return history{byTarget: make(map[string][]Change), told: make(map[string]toldOf)}
}

// room returns how many of a target's changes may be told of now.
func (h *history) room(target string, at time.Time) int {
	t := h.told[target]
	if at.Sub(t.since) >= flapSpan {
		t = toldOf{since: at}
		delete(h.told, target)
	}
	return min(mostTold, mostToldSoon-t.lines)
}

// add keeps changes, of which the first weigh most.
func (h *history) add(target string, changes []Change) {
	if len(changes) == 0 {
		return
	}
	t := h.told[target]
	if t.lines == 0 {
		t.since = changes[0].Time
	}
	t.lines += len(changes)
	h.told[target] = t
	changes = slices.Clone(changes[:min(len(changes), mostHistory)])
	slices.Reverse(changes) // so that what weighs most is the newest
	h.count -= len(h.byTarget[target])
	all := slices.Concat(h.byTarget[target], changes) // others may be reading the old ones
	all = all[max(0, len(all)-mostHistory):]
	h.byTarget[target] = all
	h.count += len(all)
	for h.count > mostHistories {
		h.dropOldest()
	}
}

// dropOldest forgets the target whose last change is the longest ago.
func (h *history) dropOldest() {
	oldest, found := "", false
	for target, changes := range h.byTarget {
		if !found || changes[len(changes)-1].Time.Before(h.byTarget[oldest][len(h.byTarget[oldest])-1].Time) {
			oldest, found = target, true
		}
	}
	h.count -= len(h.byTarget[oldest])
	delete(h.byTarget, oldest)
}

// keep forgets the changes that keep says false of.
func (h *history) keep(keep func(target string, c Change) bool) {
	for target, changes := range h.byTarget {
		kept := slices.DeleteFunc(slices.Clone(changes), func(c Change) bool { return !keep(target, c) })
		h.count -= len(changes) - len(kept)
		h.byTarget[target] = kept
		if len(kept) == 0 {
			delete(h.byTarget, target)
			delete(h.told, target)
		}
	}
}

// Changes returns the latest changes of a target's ports, newest first.
func (c *Coordinator) Changes(target string) []Change {
	c.memory.mu.Lock()
	defer c.memory.mu.Unlock()
	changes := slices.Clone(c.memory.history.byTarget[target])
	slices.Reverse(changes)
	return changes
}
