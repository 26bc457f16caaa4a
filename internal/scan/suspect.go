package scan

const (
	// suspectOpen is how many undeclared ports an address must show open before it
	// can be suspect for their number: more than any honest host is likely to have.
	suspectOpen = 512

	// suspectWindows is how many undeclared ports must take no data from the start.
	// A server that is overloaded may do so at a port or two.
	suspectWindows = 3

	// smtp and pop3 are the ports of mail that transparent proxies take over.
	smtp, pop3  = 25, 110
	mailProxied = 2

	// suspectSilent is how many silent ports there must be beside a mail proxy's.
	suspectSilent = 100
)

// Suspect tells whether something in between is likely to answer for the address.
// Ports that its owner named count for nothing here, so that who knows better can
// say so. It is one of these:
//
//   - More than 512 ports are open, and they are more than half of those whose state
//     is known: a SYN proxy.
//   - At least three open ports take no data from the start (a window of 0), and they
//     are more than half of the open ones: a tarpit. Half-open scans alone see that.
//   - The ports of mail that providers and virus scanners take over (25 and 110) are
//     both open, nothing else is, and 100 ports or more, all that are known, are
//     silent: a transparent proxy in front of a host that says nothing itself.
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

// undeclared counts the ports that the owner did not name.
type undeclared struct {
	known, open, silent int
	windows             int // open ones that take no data
	mail                int // open ones of smtp and pop3
}

func (a *AddressResult) tallyUndeclared() (t undeclared) {
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
