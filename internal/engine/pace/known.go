// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "portscan_exporter/internal/scan"

// knownStates compares answers with those of the last complete scan of the address, so that a
// ban from before this scan is detected.
type knownStates struct {
	scan.Known

	need         int // number of changed answers that show a ban; 0: none do
	same         int // ports with the same answer of the address itself
	turned       int // ports with the answers of a filter, which answered otherwise
	turnedClosed int // those that were not open
}

func newKnownStates(k scan.Known) knownStates {
	const enough = 3
	s := knownStates{Known: k}
	switch {
	case !k.Closed.IsEmpty():
		s.need = min(enough, k.Closed.Len()+k.Open.Len())
	case !k.Filtered.IsEmpty():
		s.need = min(enough, k.Open.Len())
	case k.Open.Len() > 1: // one port can change for any reason
		s.need = k.Open.Len()
	default:
	}
	return s
}

// note notes the answer of a port, and reports whether a filter answers for the address: all
// ports are rejected that were open or closed before, or even silent ones are reset. Open ports
// that are closed may be services that have stopped.
func (k *knownStates) note(port uint16, state scan.State) (banned bool) {
	switch open := k.Open.Contains(port); {
	case k.need == 0:
		return false
	case state == scan.Open, state == scan.Closed && k.Closed.Contains(port):
		k.same++
	case state == scan.Closed && k.Filtered.Contains(port), state == scan.Filtered && k.Closed.Contains(port):
		k.turned++
		k.turnedClosed++
	case state == scan.Filtered && open:
		k.turned++
	default:
	}
	return k.same == 0 && k.turned >= k.need && (k.turnedClosed > 0 || k.Closed.IsEmpty() && k.turned >= k.Open.Len())
}

// turnedAmidSilence reports whether the few answers of an address that is silent otherwise show a
// filter that rejects ports which were closed before: most hosts limit their ICMP errors.
func (k *knownStates) turnedAmidSilence() bool {
	return k.need > 0 && k.same == 0 && k.turnedClosed > 0
}

// noteKnown ends the scan if the answers show that a filter has blocked the scanner since the
// last one. Nothing that was reported is verified then.
func (p *Pacer) noteKnown(index uint16, state scan.State) {
	if !p.udp && !p.ended && p.known.note(p.planPorts.At(int(index)), state) {
		p.endWithdrawing(p.done)
	}
}
