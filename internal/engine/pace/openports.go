// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// MaxOpenPorts is the maximum number of open ports that are kept for checks.
	MaxOpenPorts = 16

	// usualAttempts is the number of attempts at an open port, a check included, that a
	// scan makes unless packets are lost. A filter that allows six connections in 30 s, such
	// as that of "ufw limit", tolerates as many from scans 15 s apart.
	usualAttempts = 2

	// checkInterval is the minimum time between checks while there are several ports with
	// fewer than usualAttempts, and rareCheckInterval is it otherwise.
	checkInterval, rareCheckInterval = 200 * time.Millisecond, time.Minute

	// closedCheck is the number of closed ports after which an open one is checked, if there
	// are several: a filter may have started to reset all connections.
	closedCheck = 100
)

// openPorts are the TCP ports that have answered open in the scan. A check is another attempt
// at one of them. It verifies that the address still answers the scanner, at the end of the
// scan and, if no closed port can be a canary, during it. Each port has at most
// max_open_attempts, because an attempt is a connection to a service.
type openPorts struct {
	limit int // maximum number of attempts at a port
	ports []openPort

	found  bool
	first  instant // sending time of the first attempt that was answered open
	good   instant // sending time of the last one
	asked  instant // time of the last check
	count  uint16  // number of checks
	active bool    // a check is in flight

	missed  int  // checks that were not answered since the last attempt that was answered open
	recheck bool // a refused port is asked again, although another one is open
}

type openPort struct {
	index    uint16
	attempts int
	missed   bool // its last check was not answered
	refused  bool // its last check was answered otherwise
}

func (p *openPort) failed() bool { return p.missed || p.refused }

// isKnown reports whether a port has answered open.
func (o *openPorts) isKnown() bool { return o.found }

// add notes that an attempt at a port was answered open, the last one of the given number.
func (o *openPorts) add(index uint16, attempts int, sent, now instant) {
	if !o.found {
		o.found, o.first = true, max(sent, now-early)
	}
	o.noteGood(sent)
	switch port := o.find(index); {
	case port != nil: // answered late before
		port.attempts = max(port.attempts, attempts)
	case attempts < o.limit && len(o.ports) < MaxOpenPorts:
		o.ports = append(o.ports, openPort{index: index, attempts: attempts})
	}
}

func (o *openPorts) noteGood(sent instant) {
	o.good, o.missed = max(o.good, sent), 0
	for i := range o.ports {
		o.ports[i].missed = false
	}
}

// pick returns the port with the fewest attempts, less than most, and prefers ports whose last
// check did not fail. It returns nil if there is none.
func (o *openPorts) pick(most int) *openPort {
	var best *openPort
	for i := range o.ports {
		p := &o.ports[i]
		switch {
		case p.attempts >= min(most, o.limit):
		case o.recheck && p.refused:
			return p
		case best == nil, best.failed() && !p.failed(), best.failed() == p.failed() && p.attempts < best.attempts:
			best = p
		}
	}
	return best
}

// attemptsLeft returns the number of checks that can be made.
func (o *openPorts) attemptsLeft() int {
	left := 0
	for i := range o.ports {
		left += max(0, o.limit-o.ports[i].attempts)
	}
	return left
}

// isDue reports whether a check is due in mid-scan, and returns the maximum number of attempts
// that the port may have had. One attempt is left for the end of the scan.
func (o *openPorts) isDue(now instant) (most int, due bool) {
	since := now - max(o.good, o.asked)
	switch {
	case o.attemptsLeft() < 2:
		return 0, false
	case o.missed > 0:
		return o.limit, since >= checkInterval
	case o.hasSpare():
		return usualAttempts, since >= max(checkInterval, (now-o.first)/2)
	default:
		return o.limit, since >= max(rareCheckInterval, (now-o.first)/2)
	}
}

// hasSpare reports whether several ports had fewer than usualAttempts, so that one of them is
// left for the end of the scan.
func (o *openPorts) hasSpare() bool {
	count := 0
	for i := range o.ports {
		if o.ports[i].attempts < min(usualAttempts, o.limit) {
			count++
		}
	}
	return count > 1
}

// find returns the port with the index, or nil.
func (o *openPorts) find(index uint16) *openPort {
	for i := range o.ports {
		if o.ports[i].index == index {
			return &o.ports[i]
		}
	}
	return nil
}

// noteOpen notes that a port has answered open after a number of attempts.
func (p *Pacer) noteOpen(now, sent instant, t *Attempt) {
	p.open.add(t.Index, int(t.number), sent, now)
	p.closed.verify(sent)
	if !p.canaries.isKnown() {
		p.rejects.prove(sent)
	}
}

// hasAnswered reports whether a port has answered open or closed.
func (p *Pacer) hasAnswered() bool { return p.canaries.isKnown() || p.open.isKnown() }

// selectCheck returns a check if one is due.
func (p *Pacer) selectCheck(now instant) (Attempt, bool) {
	most, due := p.checkDue(now)
	if !due {
		return Attempt{}, false
	}
	port := p.open.pick(most)
	if port == nil {
		return Attempt{}, false
	}
	port.attempts++
	p.open.active, p.open.asked = true, now
	p.open.count++
	return Attempt{Index: port.index, Kind: Canary, check: true, mark: p.open.count}, true
}

// checkDue reports whether a check is due, and returns the maximum number of attempts that its
// port may have had.
func (p *Pacer) checkDue(now instant) (most int, due bool) {
	switch {
	case p.open.active:
		return 0, false
	case p.open.recheck, p.needsCheck(), p.awaitsCheck():
		return p.open.limit, true
	case p.closed.count >= p.closedAllowed && p.open.hasSpare():
		p.closedAllowed *= 2
		return usualAttempts, true
	case p.canaries.isKnown() || p.silentCount == 0 && !p.hasWaiting() && p.open.missed == 0:
		return 0, false
	default:
		return p.open.isDue(now)
	}
}

// needsCheck reports whether only a check is left to make.
func (p *Pacer) needsCheck() bool {
	return p.isIdle() && p.remaining == p.silentCount && p.wantsCheck()
}

// wantsCheck reports whether a check has to verify results at the end of the scan. A port that was
// closed or rejected after the last one that was open may have been refused by a filter that
// blocks the scanner, and silence is no evidence until the address has answered again. Closed
// ports that were canaries have verified rejects and silence.
func (p *Pacer) wantsCheck() bool {
	switch {
	case p.ended || p.open.attemptsLeft() == 0:
		return false
	case p.canaries.isKnown():
		return !p.closed.isEmpty() && p.open.missed == 0
	default:
		return p.silentCount > 0 || !p.closed.isEmpty() || p.rejects.unproven.used > 0
	}
}

// settleCheck handles the outcome of a check.
func (p *Pacer) settleCheck(sent instant, t *Attempt, result outcome, a Answer) {
	p.open.active = false
	if !p.canaries.isKnown() {
		p.canaries.count(result == missed)
	}
	port := p.open.find(t.Index)
	switch {
	case result == missed:
		p.open.missed++
		port.missed = true
	case a.State != scan.Open:
		if a.State == scan.Closed && !port.refused {
			p.reportControl(scan.Control{TurnedClosed: 1})
		}
		p.noteRefusal(port)
	case port.refused: // a filter refuses some attempts
		p.rejects.noteLimit()
		p.endBanned()
	case p.open.canRecheck():
		p.open.recheck, p.open.good = true, max(p.open.good, sent)
	default:
		p.noteGoodCheck(sent)
	}
}

// canRecheck reports whether a refused port can be asked again.
func (o *openPorts) canRecheck() bool {
	return !o.recheck && slices.ContainsFunc(o.ports, func(p openPort) bool { return p.refused && p.attempts < o.limit })
}

// noteRefusal handles a check that was refused. If no other port is open, the scanner is banned.
// Otherwise the port is asked once more: a service that has stopped refuses again.
func (p *Pacer) noteRefusal(port *openPort) {
	port.refused = true
	if p.open.recheck {
		port.attempts = p.open.limit
		p.noteGoodCheck(p.open.good) // of the other port
		return
	}
	if next := p.open.pick(p.open.limit); next == nil || next.failed() {
		p.endBanned()
	}
}

// noteGoodCheck handles a check that shows that the address still answers the scanner.
func (p *Pacer) noteGoodCheck(sent instant) {
	lossy := p.open.missed > 0
	p.open.recheck = false
	p.canaries.noteAnswer(sent)
	p.open.noteGood(sent)
	p.closed.verify(sent)
	p.noteGoodCanary(sent)
	if lossy && !p.canaries.isKnown() { // silent ports need more attempts
		p.walkAfter = p.silentSince + retryInterval
		p.forgetSilent()
	}
	p.verifySilence(sent)
	if !p.canaries.isKnown() {
		p.rejects.prove(sent)
	}
}
