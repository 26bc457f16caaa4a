// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

const (
	// suspectOpen is the number of open undeclared ports above which an address can be
	// suspect. Ordinary hosts have fewer.
	suspectOpen = 512

	// suspectAnswers is the minimum number of undeclared ports with a window of 0, or that
	// reset the connection. An overloaded server can have one or two.
	suspectAnswers = 3

	// smtp and pop3 are the mail ports that transparent proxies intercept.
	smtp, pop3  = 25, 110
	mailProxied = 2

	// suspectSilent is the minimum number of silent ports for a mail proxy.
	suspectSilent = 16

	// suspectTurned is the minimum number of ports that answered differently when tried
	// again. A service that starts or stops during the scan can turn one.
	suspectTurned = 2
)

// MinRecheckOpen is the minimum number of open undeclared ports of an address whose ports are
// worth trying again.
const MinRecheckOpen = 20

// Suspicion is the reason why an address is suspect. The zero value is none.
type Suspicion uint8

// The reasons, see docs/metrics.md.
const (
	NotSuspect     Suspicion = iota
	ByControlPorts           // all ports are open, control ports too
	ByOpenPorts              // most ports are open: a SYN proxy
	ByZeroWindows            // most open ports have a window of 0: a tarpit or a SYN proxy
	ByResets                 // most open ports reset the connection: a SYN proxy
	ByTurnedPorts            // ports answer differently when tried again: a SYN proxy that starts at a rate
	ByMailProxy              // only ports 25 and 110 are open in front of a silent host
)

// String returns the reason's name in outputs.
func (s Suspicion) String() string {
	switch s {
	case ByControlPorts:
		return "control_ports"
	case ByOpenPorts:
		return "open_ports"
	case ByZeroWindows:
		return "zero_windows"
	case ByResets:
		return "handshake_resets"
	case ByTurnedPorts:
		return "turned_ports"
	case ByMailProxy:
		return "mail_proxy"
	default:
		return ""
	}
}

// Suspect reports whether a middlebox probably answers for the address.
func (a *AddressResult) Suspect() bool { return a.SuspectedBy() != NotSuspect }

// SuspectedBy returns the reason why a middlebox probably answers for the address. Declared
// ports count only if control ports are open as well.
func (a *AddressResult) SuspectedBy() Suspicion {
	open := a.Count(Open)
	if open == 0 {
		return NotSuspect
	}
	if known := a.plan.ports.Len() - a.Count(Unknown); open == known && a.control.Open > a.control.NotOpen {
		return ByControlPorts
	}
	t := a.tallyUndeclared()
	switch {
	case t.open > suspectOpen && t.open*2 > t.known:
		return ByOpenPorts
	case t.mostOpen(t.windows):
		return ByZeroWindows
	case t.mostOpen(t.resets):
		return ByResets
	case t.open >= MinRecheckOpen && a.control.TurnedOpen+a.control.TurnedClosed >= suspectTurned:
		return ByTurnedPorts
	case t.isMailProxy():
		return ByMailProxy
	default:
		return NotSuspect
	}
}

// undeclaredTally has numbers of undeclared ports.
type undeclaredTally struct {
	known, open, silent int
	windows             int // open ports with a window of 0
	resets              int // open ports that reset the connection
	mail                int // open ports among smtp and pop3
}

// mostOpen reports whether count is enough, and more than half of the open ports.
func (t *undeclaredTally) mostOpen(count int) bool {
	return count >= suspectAnswers && count*2 > t.open
}

func (t *undeclaredTally) isMailProxy() bool {
	return t.mail == mailProxied && t.open == t.mail && t.silent >= suspectSilent && t.open+t.silent == t.known
}

func (a *AddressResult) tallyUndeclared() (t undeclaredTally) {
	var declared PortSet
	if e := a.plan.spec.Expect; e != nil {
		declared = e.Open.Union(e.Allow)
	}
	for i := range a.groups {
		c, ports := a.groups[i].cell, a.groups[i].ports.Minus(declared)
		if c.state() == Unknown {
			continue
		}
		t.known += ports.Len()
		switch {
		case c.state() == Open:
			t.addOpen(c.cause(), ports)
		case c.cause() == CauseSilence:
			t.silent += ports.Len()
		}
	}
	return t
}

func (t *undeclaredTally) addOpen(cause Cause, ports PortSet) {
	t.open += ports.Len()
	switch cause {
	case CauseZeroWindow:
		t.windows += ports.Len()
	case CauseHandshakeReset:
		t.resets += ports.Len()
	default:
	}
	t.mail += ports.Intersect(NewPortSet(smtp, pop3)).Len()
}
