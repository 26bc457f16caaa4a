// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"log/slog"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// turn is an address that went dark or responds again. An address is dark if it answered in an
// earlier scan, and a later complete one got no answer of its own: it may be off, or drop the
// exporter's packets.
type turn struct {
	ip       netip.Addr
	dark     bool
	since    time.Time // its last response before
	logged   bool
	flapping bool // its next turns are not logged
}

// addressNews is what a scan has changed of an address.
type addressNews struct {
	ip          netip.Addr
	transitions []transition
	turn        *turn
	firstSeen   bool // it was silent in a complete scan, and responds for the first time
	altered     bool // there is something to save
}

// news is what a scan has changed.
type news struct {
	transitions []transition
	turns       []*turn
	newHosts    []Change
	changes     []Change // of ports, to log
	omitted     int      // changes beyond those
	altered     bool
	evicted     int // addresses
	grown       int // bytes
}

// learn adds a scan of an address to its record, and adds what has changed. hosts are those of the
// target.
func (n *news) learn(rec *record, a *scan.AddressResult, task scan.Task, by *scanInfo, hosts []scan.Host) {
	silence := rec.baseline
	found := rec.learn(a, task, by)
	isNewHost := found.firstSeen && inNetwork(hosts, a.IP)
	if isNewHost && rec.baseline == silence {
		rec.baseline = nil // otherwise, the next scan reports each closed port as a change
	}
	n.add(found, isNewHost, task, by.finished)
}

// dropKnownHosts drops new hosts that have responded to another module of the target.
func (n *news) dropKnownHosts(modules []*entry) {
	n.newHosts = slices.DeleteFunc(n.newHosts, func(c Change) bool {
		return slices.ContainsFunc(modules, func(e *entry) bool { return e.hasResponded(c.IP) })
	})
}

// inNetwork reports whether an address is in an entry of hosts that has several addresses, or the
// target has no hosts. Other addresses were listed one by one, or a name resolved to them: their
// hosts are not new when they start to respond.
func inNetwork(hosts []scan.Host, ip netip.Addr) bool {
	return len(hosts) == 0 || slices.ContainsFunc(hosts, func(h scan.Host) bool { return h.Count() > 1 && h.Contains(ip) })
}

// add adds the news of an address. If the address is a new host, the news are the host and its
// open or violating ports: that its other ports are closed now is no news.
func (n *news) add(a addressNews, isNewHost bool, task scan.Task, at time.Time) {
	if isNewHost {
		n.newHosts = append(n.newHosts, Change{
			Kind: NewHost, Time: at, Module: task.Module, IP: a.ip, Protocol: task.Plan.Spec().Protocol,
		})
	}
	for _, t := range a.transitions {
		if isNewHost && t.weight == weightOther {
			continue
		}
		t.ip = a.ip
		n.transitions = append(n.transitions, t)
	}
	if a.turn != nil && a.turn.logged {
		n.turns = append(n.turns, a.turn)
	}
	n.altered = n.altered || a.altered
}

// build makes the changes to log, at most limit: first those that weigh most, by address and port.
func (n *news) build(task scan.Task, at time.Time) {
	slices.SortStableFunc(n.transitions, func(a, b transition) int {
		return cmp.Or(cmp.Compare(a.weight, b.weight), a.ip.Compare(b.ip))
	})
	for start := 0; start < len(n.transitions) && len(n.changes) < maxLogged; {
		end := start
		var group []Change
		for ; end < len(n.transitions) && n.transitions[end].weight == n.transitions[start].weight && n.transitions[end].ip == n.transitions[start].ip; end++ {
			group = n.transitions[end].appendTo(group, task, at)
		}
		slices.SortFunc(group, func(a, b Change) int { return cmp.Compare(a.Port, b.Port) })
		n.changes = append(n.changes, group...)
		start = end
	}
	total := 0
	for _, t := range n.transitions {
		total += t.ports.Len()
	}
	n.changes = n.changes[:min(len(n.changes), maxLogged)]
	n.omitted = total - len(n.changes)
}

// appendTo appends the changes of the transition, at most those of maxLogged ports.
func (t *transition) appendTo(changes []Change, task scan.Task, at time.Time) []Change {
	first := len(changes)
	for port := range t.ports.All() {
		if len(changes)-first == maxLogged {
			break
		}
		changes = append(changes, Change{
			Time: at, Module: task.Module, IP: t.ip, Port: port, Protocol: task.Plan.Spec().Protocol,
			From: t.from, To: t.to, Expected: task.Plan.Expected(port), Flapping: t.flapping.Contains(port),
		})
	}
	return changes
}

// limit drops changes beyond the number that may be logged now.
func (n *news) limit(budget int) {
	if over := len(n.changes) - budget; over > 0 {
		n.changes, n.omitted = n.changes[:budget], n.omitted+over
	}
}

// log writes a line for each change.
func (n *news) log(logger *slog.Logger, task scan.Task) {
	n.logTurns(logger, task)
	n.logNewHosts(logger, task)
	for _, c := range n.changes {
		args := []any{
			"target", task.Target, "module", c.Module, "ip", c.IP, "port", c.Port, "protocol", c.Protocol.String(),
			"from", c.From.String(), "to", c.To.String(), "expected", c.Expected.String(),
		}
		if c.Flapping {
			args = append(args, "flapping", true)
		}
		logger.Info("Port state changed", args...)
	}
	if n.omitted > 0 {
		logger.Info("Omitted further port state changes", "target", task.Target, "module", task.Module, "ports", n.omitted)
	}
	if n.evicted > 0 {
		logger.Warn("Evicted results and port history of addresses", "addresses", n.evicted)
	}
}

// logTurns writes a line for each address that went dark or responds again.
func (n *news) logTurns(logger *slog.Logger, task scan.Task) {
	for _, t := range n.turns[:min(len(n.turns), maxLogged)] {
		args := []any{"target", task.Target, "module", task.Module, "ip", t.ip, "since", t.since}
		if t.flapping {
			args = append(args, "flapping", true)
		}
		if t.dark {
			logger.Info("Address went dark", args...)
		} else {
			logger.Info("Address responds again", args...)
		}
	}
	if more := len(n.turns) - maxLogged; more > 0 {
		logger.Info("Omitted further address changes", "target", task.Target, "module", task.Module, "addresses", more)
	}
}

// logNewHosts writes a line for each new host.
func (n *news) logNewHosts(logger *slog.Logger, task scan.Task) {
	for _, c := range n.newHosts[:min(len(n.newHosts), maxLogged)] {
		logger.Info("New host", "target", task.Target, "module", c.Module, "ip", c.IP)
	}
	if more := len(n.newHosts) - maxLogged; more > 0 {
		logger.Info("Omitted further new hosts", "target", task.Target, "module", task.Module, "addresses", more)
	}
}
