// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

const (
	// suspectOpen is the number of open undeclared ports above which an address can be
	// suspect. Ordinary hosts have fewer.
	suspectOpen = 512

	// suspectWindows is the minimum number of undeclared ports with a window of 0. An
	// overloaded server can have one or two.
	suspectWindows = 3

	// smtp and pop3 are the mail ports that transparent proxies intercept.
	smtp, pop3  = 25, 110
	mailProxied = 2

	// suspectSilent is the minimum number of silent ports for a mail proxy.
	suspectSilent = 100
)

// Suspect reports whether a middlebox probably answers for the address. It ignores declared
// ports. An address is suspect in each of these cases:
//
//   - More than 512 ports are open, and they are more than half of the ports with a known
//     state: a SYN proxy.
//   - At least three open ports have a window of 0, and they are more than half of the open
//     ports: a tarpit. Only half-open scans detect this.
//   - The mail ports that providers and virus scanners intercept (25 and 110) are the only
//     open ports, and all other known ports, at least 100, are silent: a transparent proxy
//     in front of a silent host.
func (a *AddressResult) Suspect() bool {
	if a.Count(Open) == 0 {
		return false
	}
	t := a.tallyUndeclared()
	switch {
	case t.open > suspectOpen && t.open*2 > t.known:
		return true
	case t.windows >= suspectWindows && t.windows*2 > t.open:
		return true
	default:
		return t.mail == mailProxied && t.open == t.mail && t.silent >= suspectSilent && t.open+t.silent == t.known
	}
}

// undeclaredTally has numbers of undeclared ports.
type undeclaredTally struct {
	known, open, silent int
	windows             int // open ports with a window of 0
	mail                int // open ports among smtp and pop3
}

func (a *AddressResult) tallyUndeclared() (t undeclaredTally) {
	for r := range a.All() {
		if r.State == Unknown || a.plan.Declared(r.Port) {
			continue
		}
		t.known++
		switch {
		case r.State == Open:
			t.open++
			if r.Cause == CauseZeroWindow {
				t.windows++
			}
			if r.Port == smtp || r.Port == pop3 {
				t.mail++
			}
		case r.Cause == CauseSilence:
			t.silent++
		}
	}
	return t
}
