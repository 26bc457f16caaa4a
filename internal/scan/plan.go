// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Expectation declares the ports of one protocol that must or may be open on a target.
type Expectation struct {
	Open  PortSet // must be open
	Allow PortSet // may be open
}

// Spec has the parameters of a [Plan]: the settings of a module and the expectation of a
// target.
type Spec struct {
	Protocol Protocol
	Method   Method
	Ports    PortSet      // the module's ports
	Exclude  PortSet      // never scanned
	Expect   *Expectation // nil: no expectation for this protocol

	Timeout     time.Duration // of a complete scan, including name resolution
	PortTimeout time.Duration // maximum wait for an answer
	Retries     int           // further attempts per silent port
	MaxRetries  int           // maximum if packet loss is detected
	MaxInFlight int           // concurrent attempts per address
	Rate        int           // packets per second and address; 0: unlimited

	MaxOpenAttempts int // attempts at a port that has answered open, per scan; at least 1
	ControlPorts    int // ports outside the plan to try if every known port is open; 0: none

	Source netip.Addr // source address; zero: chosen by the operating system

	AllPorts bool // keep response times of all ports, not only of the notable ones
}

// Plan has the ports of a scan, their expectations and the scan's settings. Create plans
// with [NewPlan]: the zero value is rejected. Plans may be used concurrently.
type Plan struct {
	spec    Spec
	ports   PortSet
	watched PortSet // see WithWatched
}

// ErrEmptyPlan is the error for a plan without ports.
var ErrEmptyPlan = errors.New("no ports to scan")

// NewPlan returns the plan for a spec. It covers the module's ports and those that must be
// open, without the excluded ones. The error is [ErrEmptyPlan] if no port is left, and
// names the value of the spec if that is invalid.
func NewPlan(spec Spec) (Plan, error) {
	ports := spec.Ports
	if spec.Expect != nil {
		ports = ports.Union(spec.Expect.Open)
	}
	ports = ports.Minus(spec.Exclude)
	switch {
	case spec.Protocol != TCP && spec.Protocol != UDP:
		return Plan{}, errors.New("plan has no protocol")
	case spec.Method != Connect && spec.Method != SYN:
		return Plan{}, errors.New("plan has no method")
	case spec.Timeout <= 0 || spec.PortTimeout <= 0:
		return Plan{}, fmt.Errorf("timeout %v and port timeout %v must be positive", spec.Timeout, spec.PortTimeout)
	case spec.Retries < 0 || spec.MaxRetries < spec.Retries:
		return Plan{}, fmt.Errorf("max retries %[2]d is less than retries %[1]d", spec.Retries, spec.MaxRetries)
	case spec.MaxInFlight < 1 || spec.Rate < 0:
		return Plan{}, fmt.Errorf("max in flight %d must be at least 1, rate %d at least 0", spec.MaxInFlight, spec.Rate)
	case spec.MaxOpenAttempts < 1 || spec.ControlPorts < 0:
		return Plan{}, fmt.Errorf("max open attempts %d must be at least 1, control ports %d at least 0", spec.MaxOpenAttempts, spec.ControlPorts)
	case ports.IsEmpty():
		return Plan{}, ErrEmptyPlan
	}
	return Plan{spec: spec, ports: ports}, nil
}

// Spec returns the plan's parameters.
func (p Plan) Spec() Spec { return p.spec }

// Ports returns the ports that the plan covers.
func (p Plan) Ports() PortSet { return p.ports }

// IsZero reports whether the plan is empty: it was not created by [NewPlan], or restricted
// to no ports.
func (p Plan) IsZero() bool { return p.ports.IsEmpty() }

// Expected returns the expectation for a port.
func (p Plan) Expected(port uint16) Expected {
	switch e := p.spec.Expect; {
	case e == nil:
		return ExpectAny
	case e.Open.Contains(port):
		return ExpectOpen
	case e.Allow.Contains(port):
		return ExpectAny
	default:
		return ExpectClosed
	}
}

// Declared reports whether the target declares that the port must or may be open.
func (p Plan) Declared(port uint16) bool {
	e := p.spec.Expect
	return e != nil && (e.Open.Contains(port) || e.Allow.Contains(port))
}

// WithWatched returns the plan with a set of watched ports, those that were open before.
// They get as many attempts as declared ports, and their response times are kept. Ports
// that the plan does not cover are ignored.
func (p Plan) WithWatched(ports PortSet) Plan {
	p.watched = ports.Intersect(p.ports)
	return p
}

// Restrict returns the plan for only those of its ports that are in the set. A plan without
// ports is rejected like the zero value.
func (p Plan) Restrict(ports PortSet) Plan {
	p.ports = p.ports.Intersect(ports)
	return p
}

// Watched reports whether the port is declared or was open before.
func (p Plan) Watched(port uint16) bool { return p.Declared(port) || p.watched.Contains(port) }

// keepsRTT reports whether a result has the response time of a port in the state.
func (p Plan) keepsRTT(port uint16, state State) bool {
	return p.spec.AllPorts || state == Open || p.Watched(port)
}

// Notable reports whether a port in the state is notable: it is declared or open.
func (p Plan) Notable(port uint16, state State) bool {
	return state == Open || p.Declared(port)
}
