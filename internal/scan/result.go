// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"iter"
	"net/netip"
	"time"
)

// PortResult is the result for one port of one address.
type PortResult struct {
	Address  netip.Addr
	Port     uint16
	State    State
	Cause    Cause         // evidence for the state
	RTT      time.Duration // from the last attempt to its answer; 0 if there is none
	Attempts int           // packets or connects; 0: the port was not tried
}

// Failure is a reason why a scan is incomplete, apart from unknown ports.
type Failure uint8

// The failures. Their names are the values of the label "reason" of
// portscan_scan_failed.
const (
	FailedDNS              Failure = iota + 1 // a name was not resolved, or not in time
	FailedAddressRefused                      // a name resolved to an address outside the target's networks
	FailedTooManyAddresses                    // the target resolved to more than max_addresses
	FailedCanceled                            // all waiting clients disconnected, or the exporter is shutting down
	FailedInternal                            // a bug of the exporter
)

// Failures returns all failures in the order of output.
func Failures() []Failure {
	return []Failure{FailedDNS, FailedAddressRefused, FailedTooManyAddresses, FailedCanceled, FailedInternal}
}

// String returns the value of the label "reason".
func (f Failure) String() string {
	switch f {
	case FailedDNS:
		return "dns"
	case FailedAddressRefused:
		return "address_refused"
	case FailedTooManyAddresses:
		return "too_many_addresses"
	case FailedCanceled:
		return "canceled"
	case FailedInternal:
		return "internal"
	default:
		return "none"
	}
}

// Result is the result of a scan, or of its part up to a point in time. It is immutable and
// may be used concurrently.
type Result struct {
	Plan      Plan
	Started   time.Time
	Finished  time.Time
	Lookup    time.Duration   // duration of name resolution
	Addresses []AddressResult // in ascending order
	Refused   []netip.Addr    // resolved outside the target's networks and not scanned
	Failed    map[Failure]error
	Attempts  int // packets or connects
	Retries   int // attempts other than a port's first
}

// Success reports whether the scan is complete: it has at least one address, each port has
// a known state on each address, no address was refused, and there is no failure.
func (r *Result) Success() bool {
	if len(r.Failed) > 0 || len(r.Refused) > 0 || len(r.Addresses) == 0 {
		return false
	}
	for i := range r.Addresses {
		if r.Addresses[i].Count(Unknown) > 0 {
			return false
		}
	}
	return true
}

// AddressResult has the results for the ports of one address.
type AddressResult struct {
	Address
	plan  Plan
	cells []cell                   // by index in the plan's ports
	count [256]int                 // number of cells by value
	rtts  map[uint16]time.Duration // by port, see All
}

// cell has a [State] in its low 3 bits and a [Cause] in the others, so that the results for
// 65,535 ports need 64 KiB.
type cell uint8

func newCell(s State, c Cause) cell { return cell(s) | cell(c)<<3 }
func (c cell) state() State         { return State(c & 7) }
func (c cell) cause() Cause         { return Cause(c >> 3) }

// Count returns the number of ports in the state.
func (a *AddressResult) Count(s State) int {
	n := 0
	for c, cells := range &a.count {
		if cell(c).state() == s {
			n += cells
		}
	}
	return n
}

// UnknownByCause returns the number of ports in state [Unknown] by cause.
func (a *AddressResult) UnknownByCause() map[Cause]int {
	by := make(map[Cause]int)
	for c, cells := range &a.count {
		if cells > 0 && cell(c).state() == Unknown {
			by[cell(c).cause()] += cells
		}
	}
	return by
}

// All yields the ports of the plan in ascending order. RTT is set for open and watched
// ports, or for all with [Spec].AllPorts.
func (a *AddressResult) All() iter.Seq[PortResult] {
	return func(yield func(PortResult) bool) {
		i := 0
		for port := range a.plan.ports.All() {
			r := a.portResult(port, i)
			i++
			if !yield(r) {
				return
			}
		}
	}
}

// portResult returns the result for a port and its index.
func (a *AddressResult) portResult(port uint16, i int) PortResult {
	c := a.cells[i]
	r := PortResult{Address: a.IP, Port: port, State: c.state(), Cause: c.cause()}
	if r.Cause.Answered() && len(a.rtts) > 0 {
		r.RTT = a.rtts[port]
	}
	return r
}

// Watched yields the open and the watched ports, see [Plan.Watched], in ascending order.
func (a *AddressResult) Watched() iter.Seq[PortResult] {
	ports := a.groupPorts(func(c cell) uint8 { return uint8(c.state()) })[uint8(Open)].Union(a.plan.watched)
	if e := a.plan.spec.Expect; e != nil {
		ports = ports.Union(e.Open).Union(e.Allow)
	}
	return func(yield func(PortResult) bool) {
		for port := range ports.Intersect(a.plan.ports).All() {
			if i, ok := a.plan.ports.Index(port); ok && !yield(a.portResult(port, i)) {
				return
			}
		}
	}
}

// ByState returns the ports of the plan by state.
func (a *AddressResult) ByState() map[State]PortSet {
	by := make(map[State]PortSet)
	for state, ports := range a.groupPorts(func(c cell) uint8 { return uint8(c.state()) }) {
		by[State(state)] = ports
	}
	return by
}

// groupPorts returns the ports by the key of their cells.
func (a *AddressResult) groupPorts(key func(cell) uint8) map[uint8]PortSet {
	var ranges [1 << 8][]portRange
	i := 0
	for port := range a.plan.ports.All() {
		k := key(a.cells[i])
		i++
		if n := len(ranges[k]); n > 0 && ranges[k][n-1].hi == port-1 {
			ranges[k][n-1].hi = port
		} else {
			ranges[k] = append(ranges[k], portRange{lo: port, hi: port})
		}
	}
	by := make(map[uint8]PortSet)
	for k := range ranges {
		if r := ranges[k]; len(r) > 0 {
			by[uint8(k)] = newPortSet(r)
		}
	}
	return by
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

// Responding reports whether any port of the address has an answer.
func (a *AddressResult) Responding() bool {
	for c, cells := range &a.count {
		if cells > 0 && cell(c).cause().Answered() {
			return true
		}
	}
	return false
}
