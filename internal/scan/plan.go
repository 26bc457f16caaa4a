package scan

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Expectation is what a target's owner says of the ports of one protocol.
type Expectation struct {
	Open  PortSet // must be open
	Allow PortSet // may be open
}

// Spec is what a [Plan] is made of: how a module scans and what its target
// expects. [NewPlan] says which values it takes.
type Spec struct {
	Protocol Protocol
	Method   Method
	Ports    PortSet      // the module's ports
	Exclude  PortSet      // never touched, whoever asks
	Expect   *Expectation // nil: nothing is expected of this protocol

	Timeout     time.Duration // one whole scan, name lookup included
	PortTimeout time.Duration // the longest wait for one answer
	Retries     int           // further attempts for a silent port
	MaxRetries  int           // the most, when retries keep paying
	MaxInFlight int           // attempts under way to one address
	Rate        int           // packets a second to one address; 0: no ceiling
	Source      netip.Addr    // local address to scan from; zero: the system chooses

	AllPorts bool // keep response times of all ports, not only of the notable ones
}

// Plan is what a scan will cover: ports, what is expected of them, and the pace.
// Only [NewPlan] makes one that is of use; the zero value is refused wherever a
// plan is taken. It may be used concurrently.
type Plan struct {
	spec    Spec
	ports   PortSet
	watched PortSet // see Watching
}

// ErrEmptyPlan says that a plan would cover no port at all.
var ErrEmptyPlan = errors.New("no port to scan is left")

// NewPlan checks the spec and returns the plan. It covers the module's ports
// and those that must be open, less the excluded ones. [ErrEmptyPlan] means that
// none is left; any other error names the value that makes no sense.
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
		return Plan{}, fmt.Errorf("plan has no time: timeout %v, port timeout %v", spec.Timeout, spec.PortTimeout)
	case spec.Retries < 0 || spec.MaxRetries < spec.Retries:
		return Plan{}, fmt.Errorf("plan has %d retries of at most %d", spec.Retries, spec.MaxRetries)
	case spec.MaxInFlight < 1 || spec.Rate < 0:
		return Plan{}, fmt.Errorf("plan has no pace: %d in flight, rate %d", spec.MaxInFlight, spec.Rate)
	case ports.IsEmpty():
		return Plan{}, ErrEmptyPlan
	}
	return Plan{spec: spec, ports: ports}, nil
}

// Spec returns what the plan was made of.
func (p Plan) Spec() Spec { return p.spec }

// Ports returns the ports that the plan covers.
func (p Plan) Ports() PortSet { return p.ports }

// IsZero tells whether the plan did not come from [NewPlan].
func (p Plan) IsZero() bool { return p.ports.IsEmpty() }

// Expected returns what the target's owner expects of a port.
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

// Declared tells whether the target's owner named the port, as one that must or
// may be open.
func (p Plan) Declared(port uint16) bool {
	e := p.spec.Expect
	return e != nil && (e.Open.Contains(port) || e.Allow.Contains(port))
}

// Watching returns the plan with ports that were open before. They are tried as
// patiently as those that the owner named, and their details are kept. The plan covers
// no more by it.
func (p Plan) WithWatched(ports PortSet) Plan {
	p.watched = ports.Intersect(p.ports)
	return p
}

// Only returns the plan for some of its ports. Without any it covers nothing, and is
// refused as the zero value is.
func (p Plan) Restrict(ports PortSet) Plan {
	p.ports = p.ports.Intersect(ports)
	return p
}

// Watched tells whether the owner named the port, or it was open before.
func (p Plan) Watched(port uint16) bool { return p.Declared(port) || p.watched.Contains(port) }

// Notable tells whether somebody needs to know of the port in that state: the
// ones that the owner named, and those that are open.
func (p Plan) Notable(port uint16, state State) bool {
	return state == Open || p.Declared(port)
}
