// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/bits"

	"portscan_exporter/internal/scan"
)

// IsDark reports whether all remaining ports were silent and the address has never
// answered. Then [Pacer.End] must be called.
func (p *Pacer) IsDark() bool {
	return p.remaining > 0 && p.remaining == p.silentCount && p.inFlight == 0 && !p.hasAnswered()
}

// End reports all remaining ports. With [scan.CauseNone], silent ports of an address that has
// never answered are reported as silent, and the others as unknown with the cause of the last
// local error, or the deadline. Any other cause is that of all remaining ports, unless a lack
// of descriptors or local ports has stopped the attempts. A local filter that has stopped
// them takes precedence over [scan.CauseNoRoute]. Rejects that are not verified are unknown.
func (p *Pacer) End(cause scan.Cause) {
	p.endRejects()
	p.inFlight, p.ended = 0, true
	p.releaseLast()
	switch {
	case cause != scan.CauseNone && (p.cause == scan.CauseDescriptors || p.cause == scan.CauseSourcePorts),
		cause == scan.CauseNoRoute && p.cause == scan.CausePermission:
		cause = p.cause
	case cause == scan.CauseNone:
		cause = scan.CauseDeadline
		if p.cause != scan.CauseNone {
			cause = p.cause
		}
		switch {
		case p.silentPorts == nil || p.hasAnswered():
		case !p.udp && p.known.turnedAmidSilence():
			p.withdraw(p.done, scan.CauseUnresponsive)
			cause = scan.CauseUnresponsive
		default:
			p.reportSilent()
		}
	}
	r := scan.PortResult{Cause: cause}
	if cause == scan.CauseNoNeighbor {
		r.State = scan.Filtered
	}
	p.reportRemaining(r)
}

// endRejects withdraws the rejects that no canary has verified. Without canaries it does so only
// if the rejects may be a ban.
func (p *Pacer) endRejects() {
	switch {
	case p.rejects.alarm:
		p.withdraw(nil, scan.CauseUnresponsive)
	case p.canaries.isKnown():
		p.withdraw(nil, scan.CauseDeadline)
	}
}

// HasReported reports whether any port has been reported.
func (p *Pacer) HasReported() bool { return p.remaining+p.skipped < p.order.ports }

// AttemptCount returns the number of attempts.
func (p *Pacer) AttemptCount() int { return p.attemptCount }

// reportSilent reports the silent ports.
func (p *Pacer) reportSilent() {
	mask, count := newBitset(p.order.ports), 0
	for i := range mask {
		mask[i] = p.silentPorts[i] &^ p.done[i]
		count += bits.OnesCount64(mask[i])
	}
	r := p.silentResult()
	r.Attempts = count * (1 + min(1, p.spec.Retries))
	p.reportPorts(mask, r)
}

// reportRemaining reports all remaining ports and the attempts at them.
func (p *Pacer) reportRemaining(r scan.PortResult) {
	mask := newBitset(p.order.ports)
	for i := range mask {
		mask[i] = ^p.done[i]
	}
	r.Attempts = max(0, p.attemptCount-p.reportedAttempts)
	p.reportPorts(mask, r)
}

// reportPorts reports several ports with one call, the dark ones among them: a call for each
// would delay the end of a large scan.
func (p *Pacer) reportPorts(mask bitset, r scan.PortResult) {
	ports := p.planPorts.Select(mask)
	if ports.IsEmpty() {
		return
	}
	for i := range mask {
		p.done[i] |= mask[i]
	}
	p.forgetSilent()
	p.remaining -= ports.Len()
	r.Ports = &ports
	p.sendReport(r)
}

// reportPort reports a port, once. The last report carries the attempts of canaries.
func (p *Pacer) reportPort(t Attempt, r scan.PortResult) {
	index := int(t.Index)
	if p.done.has(index) {
		return
	}
	p.done.set(index)
	p.remaining--
	if p.isSilent(index) {
		p.silentPorts.clear(index)
		p.silentCount--
	}
	r.Attempts = int(t.number - t.reported)
	r.Port = p.planPorts.At(index)
	p.sendReport(r)
}

// reportControl reports signs of an interceptor, without a state of a port.
func (p *Pacer) reportControl(c scan.Control) {
	p.report(scan.PortResult{Ports: new(scan.PortSet), Control: &c})
}

// sendReport sends a report. The last one carries the attempts of canaries and checks, and is
// held back until no more are needed.
func (p *Pacer) sendReport(r scan.PortResult) {
	if p.remaining == 0 && !p.settled() {
		p.last = &r
		return
	}
	if p.remaining == 0 {
		r.Attempts = max(r.Attempts, p.attemptCount-p.reportedAttempts)
	}
	p.reportedAttempts += r.Attempts
	p.report(r)
}
