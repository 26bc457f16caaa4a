// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// requiredEvidence is the evidence, in decibans, needed to report a silent port as
	// filtered: a probability of one in a million that its attempts were lost. After the
	// last retry minEvidence suffices, one in a thousand. Otherwise the port is unknown.
	requiredEvidence, minEvidence = 60, 30

	// noLoss is the minimum ratio of lost attempts that is assumed.
	noLoss = 0.001
)

// evaluateSilent evaluates silent attempts in the order in which they were made, up to one
// for which no later canary has been settled.
func (p *Pacer) evaluateSilent(now instant, q *queue) {
	for q.used > 0 {
		e := q.front()
		proof := p.silenceProof(e)
		if proof == pending {
			return
		}
		one := q.pop()
		if p.isEnded(&one.Attempt) {
			continue
		}
		known := p.hasAnswered()
		if known && one.beforeAnswer { // counted without canaries
			one.forgetSilences()
		}
		one.beforeAnswer = !known
		loss := p.estimateLoss(now)
		if lost := p.dropUnproven(&one.Attempt, one.sent); proof == answered && !lost {
			p.countSilence(&one, loss)
		}
		p.decide(one, loss)
	}
}

// silenceProof returns whether the path worked at the time of an attempt. Without canaries the
// attempt counts, but its port is reported only after a check, see [Pacer.settleSilent].
func (p *Pacer) silenceProof(e *pendingAttempt) outcome {
	switch {
	case p.quota.isActive():
		return p.quota.proof(e.mark)
	case p.canaries.isKnown():
		return p.canaries.proof(e.sent)
	case p.open.isKnown() && e.sent < p.open.first:
		return missed
	default:
		return answered
	}
}

// countSilence counts a silent attempt that was made while the path worked.
func (p *Pacer) countSilence(e *pendingAttempt, loss float64) {
	if e.silences == 0 {
		p.recordFirst(int(e.Index), e.sent)
	}
	e.silences++
	if e.full {
		e.fullSilences++
	}
	e.evidence = uint8(min(int(e.evidence)+weight(loss), math.MaxUint8)) //nolint:gosec // no more than fits
	if p.quota.isActive() {
		p.vouch(e)
	}
}

// estimateLoss estimates the ratio of lost attempts from canaries and from answers that
// needed a retry. Canaries of UDP scans are no sample, because the target limits their
// answers.
func (p *Pacer) estimateLoss(now instant) float64 {
	p.retryLoss.decay(now, 0)
	return max(p.pathLoss(now), p.retryLoss.retryRatio(), noLoss)
}

// pathLoss returns the ratio of lost canaries. Without canaries, the few checks and the open
// ports that were found are one sample; see retryLoss for the retries of the latter.
func (p *Pacer) pathLoss(now instant) float64 {
	if p.udp || p.canaries.isKnown() {
		return max(p.canaries.recentLoss(now), p.canaries.totalLoss())
	}
	return float64(p.canaries.totalLost) / float64(max(1, p.canaries.totalSent+p.samples.own.answered))
}

// decide reports a port, or schedules a retry, after a silent attempt. loss is the ratio of
// lost attempts.
func (p *Pacer) decide(e pendingAttempt, loss float64) {
	need := 1 + min(1, p.spec.Retries)
	if loss > noLoss {
		need = 1 + p.spec.Retries
	}
	counted, evidence := p.credibleSilences(&e.Attempt, loss)
	switch {
	case p.quota.isActive():
		p.decideVouched(e, loss)
	case counted >= need && min(evidence, p.evidenceAmidRejects(counted)) >= requiredEvidence,
		counted > p.spec.MaxRetries && evidence >= minEvidence:
		p.acceptSilence(e)
	case counted > p.spec.MaxRetries:
		p.reportPort(e.Attempt, scan.PortResult{Cause: scan.CauseUnresponsive})
	default:
		p.retry(e, loss)
	}
}

// retry schedules another attempt.
func (p *Pacer) retry(e pendingAttempt, loss float64) {
	e.Kind = p.retryKind(&e.Attempt, loss)
	e.sent += retryInterval
	p.retries.push(e)
}

// credibleSilences returns the number of silent attempts at a port that are evidence, and
// their evidence in decibans.
func (p *Pacer) credibleSilences(t *Attempt, loss float64) (count, evidence int) {
	if p.needsFull(loss) {
		return int(t.fullSilences), int(t.fullSilences) * weight(loss)
	}
	// The estimate of the loss at the time of the first silence may have been too low,
	// because it was based on few canaries; so may the current one for that time.
	return int(t.silences), min(int(t.evidence), int(t.silences)*weight(loss))
}

// retryKind returns the kind of the attempt after a silent one.
func (p *Pacer) retryKind(t *Attempt, loss float64) Kind {
	const enough = 2 // without loss
	switch {
	case p.needsFull(loss):
		return Full
	case t.fullSilences > 0 && t.silences >= enough && !p.receivesLate:
		return Retry
	case t.Kind == Full:
		return Full
	default:
		return Final
	}
}

// acceptSilence reports a silent port after ruling out late answers. Silent ports of an
// address that has never answered are reported at the end.
func (p *Pacer) acceptSilence(e pendingAttempt) {
	// An ICMP error of a router may have shortened the timeout of a host that has not answered.
	short := p.Timeout(e.Kind) < p.spec.PortTimeout && e.fullSilences == 0
	switch {
	case p.receivesLate, short && p.detectsLate && e.sent > p.lastLate:
		p.held.push(e)
	case short:
		p.retryFull(e)
	default:
		p.settleSilent(e)
	}
}

// settleSilent reports a silent port, or records it if the address has not answered, or if no
// canary has verified that the path worked.
func (p *Pacer) settleSilent(e pendingAttempt) {
	if p.canaries.isKnown() {
		p.reportPort(e.Attempt, p.silentResult())
		return
	}
	p.markSilent(e)
}

// silentResult returns the result of a port whose silence is verified.
func (p *Pacer) silentResult() scan.PortResult {
	if p.udp {
		return scan.PortResult{State: scan.OpenFiltered, Cause: scan.CauseSilence}
	}
	return scan.PortResult{State: scan.Filtered, Cause: scan.CauseSilence}
}

// LateChecked handles the result of a check for answers that came after the timeout of their
// attempt since the last call. If some came, silent ports are tried once more with the
// complete port_timeout. Otherwise they are reported as silent.
func (p *Pacer) LateChecked(now time.Duration, came bool) {
	if came {
		p.lastLate = now
	}
	for p.held.used > 0 && (came || p.held.front().sent+p.spec.PortTimeout <= now) {
		switch e := p.held.pop(); {
		case came:
			p.retryFull(e)
		default:
			p.settleSilent(e)
		}
	}
}

// retryFull schedules another attempt, with the complete port_timeout.
func (p *Pacer) retryFull(e pendingAttempt) {
	e.Kind = Full
	e.sent += retryInterval
	p.retries.push(e)
}
