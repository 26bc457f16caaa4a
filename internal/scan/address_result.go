// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"iter"
	"maps"
	"reflect"
	"slices"
	"time"
)

// AddressResult has the results for the ports of one address. It is immutable and may be used
// concurrently.
//
// Ports are stored in sets by state and cause, because neighboring ports mostly have the same.
// The number of ranges determines the memory and the time of all methods other than
// [AddressResult.All], not the number of ports.
type AddressResult struct {
	Address
	plan   Plan
	groups []portGroup              // together the plan's ports, in ascending order of cells
	icmp   []ICMPPorts              // disjoint, in order of appearance
	rtts   map[uint16]time.Duration // of ports that answered, see All

	lastResponse time.Time
	control      Control
}

// portGroup has the ports of an address with the same state and cause.
type portGroup struct {
	cell  cell
	ports PortSet
}

// cell has a [State] in its low 3 bits and a [Cause] in the others.
type cell uint8

func newCell(s State, c Cause) cell { return cell(s) | cell(c)<<3 }
func (c cell) state() State         { return State(c & 7) }
func (c cell) cause() Cause         { return Cause(c >> 3) }

// portGroups collects ports by state and cause.
type portGroups map[cell]PortSet

func (g portGroups) add(c cell, ports PortSet) {
	if !ports.IsEmpty() {
		g[c] = g[c].Union(ports)
	}
}

// sorted returns the groups in ascending order of cells.
func (g portGroups) sorted() []portGroup {
	groups := make([]portGroup, 0, len(g))
	for _, c := range slices.Sorted(maps.Keys(g)) {
		groups = append(groups, portGroup{cell: c, ports: g[c]})
	}
	return groups
}

// Count returns the number of ports in the state.
func (a *AddressResult) Count(s State) (n int) {
	for i := range a.groups {
		if a.groups[i].cell.state() == s {
			n += a.groups[i].ports.Len()
		}
	}
	return n
}

// UnknownByCause returns the number of ports in state [Unknown] by cause.
func (a *AddressResult) UnknownByCause() map[Cause]int {
	by := make(map[Cause]int)
	for i := range a.groups {
		if c := a.groups[i].cell; c.state() == Unknown {
			by[c.cause()] += a.groups[i].ports.Len()
		}
	}
	return by
}

// Ports returns the ports of the plan in the state.
func (a *AddressResult) Ports(s State) (ports PortSet) {
	for i := range a.groups {
		if a.groups[i].cell.state() == s {
			ports = ports.Union(a.groups[i].ports)
		}
	}
	return ports
}

// ByState returns the ports of the plan by state. States without ports are left out.
func (a *AddressResult) ByState() map[State]PortSet {
	by := make(map[State]PortSet)
	for _, s := range States() {
		if ports := a.Ports(s); !ports.IsEmpty() {
			by[s] = ports
		}
	}
	return by
}

// Port returns the result for a port, and reports whether the port is part of the plan. RTT is
// set for the same ports as in [AddressResult.All].
func (a *AddressResult) Port(port uint16) (PortResult, bool) {
	for i := range a.groups {
		if g := &a.groups[i]; g.ports.Contains(port) {
			r := a.portResult(port, g.cell)
			if r.Cause.hasICMP() {
				r.ICMP = a.icmpError(port)
			}
			return r, true
		}
	}
	return PortResult{}, false
}

// portResult returns the result for a port, without an ICMP error.
func (a *AddressResult) portResult(port uint16, c cell) PortResult {
	r := PortResult{Address: a.IP, Port: port, State: c.state(), Cause: c.cause()}
	if r.Cause.Answered() && len(a.rtts) > 0 {
		r.RTT = a.rtts[port]
	}
	return r
}

// All yields the ports of the plan in ascending order. RTT is set for open and watched
// ports, or for all with [Spec].AllPorts.
func (a *AddressResult) All() iter.Seq[PortResult] {
	return func(yield func(PortResult) bool) {
		i, cells, errors := 0, a.cellKeys(), a.icmpKeys()
		for port := range a.plan.ports.All() {
			r := a.portResult(port, cell(cells[i]))
			if r.Cause.hasICMP() && len(errors) > 0 && errors[i] > 0 {
				r.ICMP = a.icmp[errors[i]-1].ICMPError
			}
			i++
			if !yield(r) {
				return
			}
		}
	}
}

// cellKeys returns the cells of all ports by index in the plan. A slice of them is faster than
// a search for each port, however many ranges the groups have.
func (a *AddressResult) cellKeys() []uint8 {
	keys := make([]uint8, a.plan.ports.Len())
	for i := range a.groups {
		a.plan.ports.fillKeys(keys, a.groups[i].ports, uint8(a.groups[i].cell))
	}
	return keys
}

// icmpKeys returns the numbers of the ICMP errors of all ports by index in the plan, from 1, or
// nil if there are no errors.
func (a *AddressResult) icmpKeys() []uint8 {
	if len(a.icmp) == 0 {
		return nil
	}
	keys := make([]uint8, a.plan.ports.Len())
	for i := range a.icmp {
		a.plan.ports.fillKeys(keys, a.icmp[i].Ports, uint8(i+1))
	}
	return keys
}

// Watched yields the open and the watched ports, see [Plan.Watched], in ascending order.
func (a *AddressResult) Watched() iter.Seq[PortResult] {
	ports := a.Ports(Open).Union(a.plan.watched)
	if e := a.plan.spec.Expect; e != nil {
		ports = ports.Union(e.Open).Union(e.Allow)
	}
	return func(yield func(PortResult) bool) {
		for port := range ports.Intersect(a.plan.ports).All() {
			if r, ok := a.Port(port); ok && !yield(r) {
				return
			}
		}
	}
}

// CountViolations returns the number of ports that are open and must not be, and of those that
// must be open and are known not to be, see [Expected.ViolatedBy].
func (a *AddressResult) CountViolations() (unexpected, missing int) {
	if a.plan.spec.Expect == nil {
		return 0, 0
	}
	open, notOpen := a.plan.spec.Expect.Violations(a.ByState())
	return open.Len(), notOpen.Len()
}

// Responding reports whether the address itself answered in the scan.
func (a *AddressResult) Responding() bool { return !a.lastResponse.IsZero() }

// LastResponse returns the time of the last answer of the address itself in the scan, see
// [PortResult], or the zero time.
func (a *AddressResult) LastResponse() time.Time { return a.lastResponse }

// rttBytes is about how many bytes an entry of a map of response times takes.
const rttBytes = 24

// Size returns about how many bytes the result takes, without the names of hosts and the sets
// that it shares with its plan.
func (a *AddressResult) Size() int {
	bytes := typeSize[AddressResult]() + len(a.rtts)*rttBytes
	for i := range a.groups {
		bytes += typeSize[portGroup]() + a.groups[i].ports.RangeCount()*typeSize[portRange]()
	}
	for i := range a.icmp {
		bytes += typeSize[ICMPPorts]() + a.icmp[i].Ports.RangeCount()*typeSize[portRange]()
	}
	return bytes
}

func typeSize[T any]() int { return int(reflect.TypeFor[T]().Size()) }
