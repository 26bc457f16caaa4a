package scan

import (
	"iter"
	"net/netip"
	"time"
)

// PortResult is what an engine found out about one port of one address.
type PortResult struct {
	Address  netip.Addr
	Port     uint16
	State    State
	Cause    Cause         // the evidence for the state
	RTT      time.Duration // from the last attempt to its answer; 0 where none came
	Attempts int           // packets or connects that it took; 0: the port was not reached
}

// Failure is what kept a scan from being whole, apart from ports that could not
// be tested.
type Failure uint8

// The failures. Their names are the values of the label "reason" of
// portscan_scan_failed.
const (
	FailedDNS              Failure = iota + 1 // a name did not resolve, or not in time
	FailedAddressRefused                      // a name led outside the target's networks
	FailedTooManyAddresses                    // the target resolved to more addresses than its module takes
	FailedCanceled                            // whoever asked went away, or the exporter is shutting down
	FailedInternal                            // a fault of our own
)

// Failures lists every failure, in the order in which they are shown.
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

// Result is what is known after a scan, or at one moment of it. It does not
// change any more and may be read concurrently.
type Result struct {
	Plan      Plan
	Started   time.Time
	Finished  time.Time
	Lookup    time.Duration   // how long the names took to resolve
	Addresses []AddressResult // in rising order of address
	Refused   []netip.Addr    // resolved, outside the target's networks, and not touched
	Failed    map[Failure]error
	Attempts  int // packets or connects in all
	Retries   int // those of them that were not a port's first
}

// Success tells whether the scan is whole: at least one address, every port of
// the plan in a definite state on every address, and nothing failed.
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

// AddressResult is what is known of the ports of one address.
type AddressResult struct {
	Address
	plan  Plan
	cells []cell                   // one a port of the plan, in rising order
	count [256]int                 // how many cells there are of each value
	rtts  map[uint16]time.Duration // of the ports whose details are kept
}

// cell holds a [State] in its low 3 bits and a [Cause] in the others, so that
// 65,535 ports take 64 KiB.
type cell uint8

func newCell(s State, c Cause) cell { return cell(s) | cell(c)<<3 }
func (c cell) state() State         { return State(c & 7) }
func (c cell) cause() Cause         { return Cause(c >> 3) }

// Count returns how many ports are in the state.
func (a *AddressResult) Count(s State) int {
	n := 0
	for c, cells := range &a.count {
		if cell(c).state() == s {
			n += cells
		}
	}
	return n
}

// UnknownByCause returns how many ports are [Unknown], by cause.
func (a *AddressResult) UnknownByCause() map[Cause]int {
	by := make(map[Cause]int)
	for c, cells := range &a.count {
		if cells > 0 && cell(c).state() == Unknown {
			by[cell(c).cause()] += cells
		}
	}
	return by
}

// All yields every port of the plan in rising order. RTT is set for the ports
// whose details are kept: the open and the watched ones, or all with [Spec].AllPorts.
func (a *AddressResult) All() iter.Seq[PortResult] {
	return func(yield func(PortResult) bool) {
		i := 0
		for port := range a.plan.ports.All() {
			r := a.at(port, i)
			i++
			if !yield(r) {
				return
			}
		}
	}
}

// at returns the port whose cell is the i-th.
func (a *AddressResult) at(port uint16, i int) PortResult {
	c := a.cells[i]
	r := PortResult{Address: a.IP, Port: port, State: c.state(), Cause: c.cause()}
	if r.Cause.Answered() && len(a.rtts) > 0 {
		r.RTT = a.rtts[port]
	}
	return r
}

// Watched yields the open and the watched ports (see [Plan.Watched]) in rising order.
func (a *AddressResult) Watched() iter.Seq[PortResult] {
	ports := a.split(func(c cell) uint8 { return uint8(c.state()) })[uint8(Open)].Union(a.plan.watched)
	if e := a.plan.spec.Expect; e != nil {
		ports = ports.Union(e.Open).Union(e.Allow)
	}
	return func(yield func(PortResult) bool) {
		for port := range ports.Intersect(a.plan.ports).All() {
			if i, ok := a.plan.ports.Index(port); ok && !yield(a.at(port, i)) {
				return
			}
		}
	}
}

// ByState returns the ports by state: each port of the plan is in one of the sets.
func (a *AddressResult) ByState() map[State]PortSet {
	by := make(map[State]PortSet)
	for state, ports := range a.split(func(c cell) uint8 { return uint8(c.state()) }) {
		by[State(state)] = ports
	}
	return by
}

// split returns the ports by what key says of their cells.
func (a *AddressResult) split(key func(cell) uint8) map[uint8]PortSet {
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
			by[uint8(k)] = counted(r)
		}
	}
	return by
}

// Violating returns the number of ports that are open and must not be, and of those that
// must be open and are known not to be, see [Expected.ViolatedBy].
func (a *AddressResult) Violating() (open, notOpen int) {
	if a.plan.spec.Expect == nil {
		return 0, 0
	}
	unexpected, missing := a.plan.spec.Expect.Violations(a.ByState())
	return unexpected.Len(), missing.Len()
}

// Responding tells whether the address answered anything in this scan.
func (a *AddressResult) Responding() bool {
	for c, cells := range &a.count {
		if cells > 0 && cell(c).cause().Answered() {
			return true
		}
	}
	return false
}
