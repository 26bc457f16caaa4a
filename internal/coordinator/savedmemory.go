// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// savedMemory is what is remembered of an address.
type savedMemory struct {
	Target   string                `json:"target"`
	Module   string                `json:"module"`
	Protocol string                `json:"protocol"`
	IP       netip.Addr            `json:"ip"`
	Last     time.Time             `json:"last"`
	Whole    time.Time             `json:"whole"`
	States   map[string]string     `json:"states,omitempty"` // ports by state
	Opened   string                `json:"opened,omitempty"`
	Changed  map[uint16]savedTimes `json:"changed,omitempty"`
}

type savedTimes struct {
	At    time.Time `json:"at"`
	Since time.Time `json:"since"`
	Times int       `json:"times"`
}

type savedChange struct {
	Time     time.Time  `json:"time"`
	Module   string     `json:"module"`
	IP       netip.Addr `json:"ip"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Expected string     `json:"expected"`
	Flapping bool       `json:"flapping,omitempty"`
}

// saved returns what is remembered, in a form that can be written.
func (m *memory) saved() *content {
	m.mu.Lock()
	seen := make(map[group]map[netip.Addr]*remembered, len(m.seen))
	for g, in := range m.seen {
		seen[g] = maps.Clone(in)
	}
	changes := maps.Clone(m.history.byTarget)
	m.mu.Unlock()
	all := &content{Changes: make(map[string][]savedChange, len(changes))}
	for g, in := range seen {
		for ip, r := range in {
			all.Remembered = append(all.Remembered, r.saved(g, ip))
		}
	}
	for target, list := range changes {
		for _, c := range list {
			all.Changes[target] = append(all.Changes[target], savedChange{
				Time: c.Time, Module: c.Module, IP: c.IP, Port: c.Port, Protocol: c.Protocol.String(),
				From: c.From.String(), To: c.To.String(), Expected: c.Expected.String(), Flapping: c.Flapping,
			})
		}
	}
	return all
}

func (r *remembered) saved(g group, ip netip.Addr) savedMemory {
	s := savedMemory{
		Target: g.target, Module: g.module, Protocol: g.protocol.String(), IP: ip, Last: r.last, Whole: r.whole, Opened: r.opened.String(),
		States: make(map[string]string), Changed: make(map[uint16]savedTimes),
	}
	for state, ports := range r.states {
		s.States[state.String()] = ports.String()
	}
	for port, c := range r.changed {
		s.Changed[port] = savedTimes{At: c.at, Since: c.since, Times: c.times}
	}
	return s
}

// restore takes in what was remembered.
func (m *memory) restore(all *content) error {
	slices.SortStableFunc(all.Remembered, func(a, b savedMemory) int { return a.Last.Compare(b.Last) })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all.Remembered {
		g := group{target: s.Target, module: s.Module}
		protocol, ok := named(s.Protocol, scan.TCP, scan.UDP)
		r, err := s.read()
		if err = errors.Join(err, unless(ok, "protocol", s.Protocol)); err != nil {
			return fmt.Errorf("%w: port history of %v: %w", errUnusable, s.IP, err)
		}
		g.protocol = protocol
		m.put(g, s.IP, r)
	}
	for target, list := range all.Changes {
		for _, s := range list {
			c, err := s.read()
			if err != nil {
				return fmt.Errorf("%w: changes of target %s: %w", errUnusable, target, err)
			}
			m.history.add(target, []Change{c})
		}
	}
	return nil
}

func (s savedMemory) read() (*remembered, error) {
	r := &remembered{last: past(s.Last), whole: past(s.Whole), changed: make(map[uint16]lastChange)}
	var err error
	if r.opened, err = scan.ParsePortSet(s.Opened); err != nil {
		return nil, err
	}
	for name, text := range s.States {
		state, ok := named(name, scan.States()...)
		ports, err := scan.ParsePortSet(text)
		if err := errors.Join(err, unless(ok, "state", name)); err != nil {
			return nil, err
		}
		if r.states == nil {
			r.states = make(map[scan.State]scan.PortSet)
		}
		r.states[state] = ports
	}
	for port, c := range s.Changed {
		r.changed[port] = lastChange{at: past(c.At), since: past(c.Since), times: c.Times}
	}
	return r, nil
}

func (s savedChange) read() (Change, error) {
	from, okFrom := named(s.From, scan.States()...)
	to, okTo := named(s.To, scan.States()...)
	protocol, okProtocol := named(s.Protocol, scan.TCP, scan.UDP)
	expected, okExpected := named(s.Expected, scan.ExpectAny, scan.ExpectOpen, scan.ExpectClosed)
	c := Change{
		Time: past(s.Time), Module: s.Module, IP: s.IP, Port: s.Port, Protocol: protocol,
		From: from, To: to, Expected: expected, Flapping: s.Flapping,
	}
	return c, errors.Join(unless(okFrom, "state", s.From), unless(okTo, "state", s.To),
		unless(okProtocol, "protocol", s.Protocol), unless(okExpected, "expectation", s.Expected))
}

// named returns the one of that name.
func named[T fmt.Stringer](name string, all ...T) (found T, ok bool) {
	for _, one := range all {
		if one.String() == name {
			return one, true
		}
	}
	return found, false
}

// past returns the time, or now if that lies ahead: the clock may have been wrong.
func past(t time.Time) time.Time {
	if now := time.Now(); t.After(now) {
		return now
	}
	return t
}

func unless(ok bool, what, name string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("unknown %s %q", what, name)
}
