// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// vouchedEvidence is the maximum evidence, in decibans, that a port does not draw ICMP
	// errors, from one round: three rounds are needed.
	vouchedEvidence = 20

	// quotaPeriod is the assumed time in which a quota grows by one error if it is not
	// longer than the time since the last error.
	quotaPeriod = time.Second

	// quotaGrown is the time after which a quota that was used up suffices for an error, and
	// quotaRetryInterval the minimum time between two attempts at a port: three rounds take
	// as long.
	quotaGrown, quotaRetryInterval = 1050 * time.Millisecond, quotaGrown / 3

	// promptError is the maximum round trip of an error that a filter sends by itself. A
	// router without a neighbor sends it a second later or more.
	promptError = 500 * time.Millisecond
)

// round has attempts and the canary that was sent after them, see [quota].
type round struct {
	started  instant
	quiet    time.Duration // since the attempt before that had drawn an error
	attempts int
	errors   int // that attempts have drawn, the canary excluded

	by     sender  // of the canary's error
	canary instant // time at which it was sent
	result outcome // of the canary
}

// evidence returns the evidence, in decibans, that an attempt of the round that was made at
// sent and not answered draws no error: the probability that the quota was used up at that
// time and grew by one error before the canary. A round that has drawn other errors may
// have used up the quota at any time.
func (r *round) evidence(sent instant) int {
	after := max(r.canary-sent, settleDelay)
	if r.result != answered || r.errors > 0 || r.canary < sent || r.quiet <= 0 {
		return 0
	}
	return weight(after.Seconds() / min(r.quiet, quotaPeriod).Seconds())
}

// current returns the round that collects attempts.
func (q *quota) current() *round { return &q.rounds[q.newest%maxMarks] }

// find returns the round with a number modulo 65,536, or nil if it was overwritten.
func (q *quota) find(number uint16) *round {
	if q.newest-number >= maxMarks {
		return nil
	}
	return &q.rounds[number%maxMarks]
}

// proof returns the outcome of the round's canary.
func (q *quota) proof(number uint16) outcome {
	if r := q.find(number); r != nil {
		return r.result
	}
	return missed
}

// vouch adds the evidence of a silent attempt whose canary was answered.
func (p *Pacer) vouch(e *pendingAttempt) {
	r := p.quota.find(e.mark)
	gained := min(r.evidence(e.sent), vouchedEvidence)
	e.vouched[r.by] = uint8(min(int(e.vouched[r.by])+gained, math.MaxUint8)) //nolint:gosec // no more than fits
}

// isVouched reports whether a port is known not to draw errors of the senders of the address:
// neither their quotas nor lost packets explain its silence.
func (p *Pacer) isVouched(t *Attempt, loss float64) bool {
	least := min(int(t.evidence), int(t.silences)*weight(loss))
	for by, evidence := range t.vouched {
		if p.quota.ports[by].found > 0 {
			least = min(least, int(evidence))
		}
	}
	return least >= requiredEvidence
}

// decideVouched reports a port of a target that sends ICMP errors, or schedules a retry.
func (p *Pacer) decideVouched(e pendingAttempt, loss float64) {
	if p.isVouched(&e.Attempt, loss) && p.isQuotaGrown(e.sent) {
		p.acceptSilence(e)
	} else {
		p.retry(e, loss)
	}
}

// isDue reports whether a retry is due, see [Pacer.retry]. With UDP, the last attempts at a port
// are made after a quota that was used up before the scan has grown.
func (p *Pacer) isDue(now instant, e *pendingAttempt) bool {
	switch {
	case !p.udp:
		return e.sent <= now
	case p.quota.isActive():
		return e.sent+quotaRetryInterval-retryInterval <= now
	default:
		return e.sent <= now && p.isQuotaGrown(now)
	}
}

// isQuotaGrown reports whether senders of which no error was seen would have sent one for an
// attempt made at sent: since the first attempt, their quotas can only have grown.
func (p *Pacer) isQuotaGrown(sent instant) bool { return sent-p.firstAttempt >= quotaGrown }

// noteICMP handles an ICMP error that an attempt at a UDP port has drawn.
func (p *Pacer) noteICMP(now, sent instant, t *Attempt, state scan.State) {
	p.quota.noteAnswer(sent)
	if state != scan.Closed && (state != scan.Filtered || now-sent > promptError) {
		return // an open port need not answer, and a service may limit its answers
	}
	if !p.quota.isActive() {
		p.forgetSilent()
	}
	p.quota.addPort(t.Index, senderOf(state))
	p.canaries.addPort(t.Index)
	if t.Kind != Canary {
		p.quota.noteError(sent, t.mark)
	}
}
