// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

// ViolatedBy reports whether a port in the state violates the expectation: it is open
// and must not be, or it must be open and is known not to be. Unknown ports and silent
// UDP ports violate no expectation.
func (e Expected) ViolatedBy(s State) bool {
	switch e {
	case ExpectClosed:
		return s == Open
	case ExpectOpen:
		return s == Closed || s == Filtered
	default:
		return false
	}
}

// Violations returns the ports that violate the expectation: the unexpected ones are
// open and must not be, the missing ones must be open and are known not to be.
// Without an expectation there are none.
func (e *Expectation) Violations(byState map[State]PortSet) (unexpected, missing PortSet) {
	if e == nil {
		return PortSet{}, PortSet{}
	}
	for state, ports := range byState {
		if ExpectClosed.ViolatedBy(state) {
			unexpected = unexpected.Union(ports.Minus(e.Open).Minus(e.Allow))
		}
		if ExpectOpen.ViolatedBy(state) && !e.Open.IsEmpty() {
			missing = missing.Union(ports.Intersect(e.Open))
		}
	}
	return unexpected, missing
}
