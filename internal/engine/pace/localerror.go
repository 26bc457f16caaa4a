// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// firstPause and longestPause are the minimum and maximum pause after a local error.
	firstPause, longestPause = 10 * time.Millisecond, 200 * time.Millisecond

	// localErrorTimeout is the time after which a local error that is not temporary, such
	// as a missing route, ends the scan of the address.
	localErrorTimeout = 3 * time.Second

	// maxFailures is the number of local errors of one port after which it is reported,
	// if attempts at other ports succeed.
	maxFailures = 5
)

// localErrors handles attempts that this machine cannot make.
type localErrors struct {
	cause       scan.Cause // of the pause; none if attempts can be made
	since       instant
	until       instant
	pauseLength time.Duration
}

// isPaused reports whether attempts have to wait. After a pause they are made one at a
// time until one succeeds.
func (l *localErrors) isPaused(now instant, inFlight int) bool {
	return l.cause != scan.CauseNone && (now < l.until || inFlight > 0)
}

func (l *localErrors) pause(now instant, cause scan.Cause) {
	if !isTemporary(cause) && (l.cause == scan.CauseNone || isTemporary(l.cause)) {
		l.since = now
	}
	l.cause = cause
	if now >= l.until {
		l.pauseLength = min(max(2*l.pauseLength, firstPause), longestPause)
		l.until = now + l.pauseLength
	}
}

func (l *localErrors) resume() { *l = localErrors{} }

// isStuck reports whether the scan of the address should end, because an error that is not
// temporary has lasted for localErrorTimeout.
func (l *localErrors) isStuck(now instant) bool {
	return l.cause != scan.CauseNone && !isTemporary(l.cause) && now-l.since >= localErrorTimeout
}

// isTemporary reports whether attempts can be made again later. [scan.CauseDeadline] is the
// cause of a full send queue.
func isTemporary(cause scan.Cause) bool {
	return cause == scan.CauseSourcePorts || isUnsent(cause)
}

// isUnsent reports whether nothing was sent, so that there was no attempt.
func isUnsent(cause scan.Cause) bool {
	return cause == scan.CauseDescriptors || cause == scan.CauseDeadline || cause == scan.CauseNeighborTable
}

// Failed ends an attempt that this machine could not make, or whose failure it caused. The
// port is tried again later, unless its packets are translated (NAT), which is final.
func (p *Pacer) Failed(now, sent time.Duration, t Attempt, cause scan.Cause) {
	p.inFlight--
	p.window.remove(t.sentTick)
	if cause == scan.CauseTranslated {
		p.failTranslated(sent, t)
		return
	}
	p.pause(now, cause)
	if isUnsent(cause) {
		t.number--
		p.attemptCount--
	} else { // it may have sent no packet, so no report has it
		t.reported = min(t.reported+1, t.number)
		p.reportedAttempts++
	}
	if t.Kind == Canary {
		p.settleInconclusive(sent, &t, !isUnsent(cause))
		return
	}
	p.endConfirmation(&t, false)
	if !isTemporary(cause) {
		t.failures++
		if t.failures >= maxFailures && p.inFlight > 0 {
			p.reportPort(t, scan.PortResult{Cause: cause})
			return
		}
	}
	p.retries.push(pendingAttempt{t, now + p.pauseLength})
}

// failTranslated takes back an attempt whose packet this machine translated (NAT).
func (p *Pacer) failTranslated(sent time.Duration, t Attempt) {
	p.resume() // it was sent
	if t.Kind == Canary {
		p.settleInconclusive(sent, &t, true)
		return
	}
	p.reportPort(t, scan.PortResult{Cause: scan.CauseTranslated})
}
