// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// firstRound is the number of attempts in the first round, and leastRound the minimum
	// after a round without errors.
	firstRound, leastRound = 16, 4

	// untriedRound is the minimum number of attempts in a round while there are untried
	// ports.
	untriedRound = 64

	// leastSpacing is the minimum interval between rounds, of which a third of a second is
	// kept. quietSpacing is the maximum interval while there are untried ports, and the
	// minimum later: it separates silent attempts from the error before.
	leastSpacing, quietSpacing = 5 * time.Millisecond, 100 * time.Millisecond

	// quotaBegins is the interval between rounds after the first unanswered canary. It then
	// stays between quotaFastest and quotaSlowest. Linux sends one error a second to an
	// address after a burst of six (net.ipv4.icmp_ratelimit), BSDs 200 a second.
	quotaBegins, quotaFastest, quotaSlowest = 100 * time.Millisecond, 50 * time.Millisecond, 1100 * time.Millisecond

	// unlimitedAfter is the number of rounds at quotaFastest for which the quota sufficed,
	// after which errors are not limited.
	unlimitedAfter = 8

	// manyErrors is the number of errors in a round from which the interval shrinks: a
	// target that accumulates them does so only up to its burst.
	manyErrors = 3

	// settleDelay separates the canary of a round from the attempts before it, so that
	// they are not reordered.
	settleDelay = time.Millisecond
)

// sender is a sender of ICMP errors about an address. Each has a quota of its own.
type sender uint8

const (
	byHost   sender = iota // of closed ports
	byFilter               // of rejected ports, on the host or a router
	senders                // number of senders
)

// senderOf returns the sender of the ICMP error that an answer is.
func senderOf(state scan.State) sender {
	if state == scan.Filtered {
		return byFilter
	}
	return byHost
}

// quota paces a UDP scan once the address, or a filter for it, has sent an ICMP error.
// Senders limit their errors (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)), so an
// attempt above the limit is not answered, like one at an open port.
//
// Attempts are made in rounds. A round ends with a canary at a port that has drawn an error.
// If that is answered too, the quota would have sufficed for errors about the other ports of
// the round. Ports that draw errors come before the canary, so a canary takes an error from
// the quota only if the round did not use it up.
type quota struct {
	ports  [senders]latestPorts // that have drawn errors
	rounds [maxMarks]round      // round i is at i % maxMarks
	newest uint16               // number of the round that collects attempts

	size        int           // attempts in a round
	interval    time.Duration // between the starts of rounds; 0: errors are not limited
	sufficed    int           // rounds in a row for which the quota sufficed
	lastAttempt instant
	latestError instant // time of the latest attempt that drew an error
	unsettled   bool    // the canary of the round before is in flight

	missedInRow int // canaries, since an answer
	firstMissed instant
}

// isActive reports whether attempts are made in rounds.
func (q *quota) isActive() bool { return q.ports[byHost].found+q.ports[byFilter].found > 0 }

// canSlow reports whether the interval can grow.
func (q *quota) canSlow() bool { return q.interval < quotaSlowest }

// isGone reports whether the senders have stopped to send errors.
func (q *quota) isGone(now instant) bool {
	return q.isActive() && q.missedInRow >= goneMisses && now-q.firstMissed >= goneAfter && !q.canSlow()
}

// addPort adds a port that has drawn an error. The first one starts the rounds.
func (q *quota) addPort(index uint16, by sender) {
	if !q.isActive() {
		q.newest, q.size = 1, firstRound
		q.rounds[0].result = missed // attempts before the first round
		q.rounds[1] = round{}
	}
	q.ports[by].addPort(index)
}

// noteError counts an error that an attempt of a round has drawn.
func (q *quota) noteError(sent instant, number uint16) {
	if r := q.find(number); r != nil {
		r.errors++
	}
	q.noteUse(sent)
}

// noteUse notes that an attempt that was made at sent has used up the quota for an error.
func (q *quota) noteUse(sent instant) {
	q.latestError = max(q.latestError, sent)
	if r := q.current(); r.attempts > 0 && sent < r.started {
		r.quiet = min(r.quiet, r.started-sent)
	}
}

// noteAnswer notes an answer to an attempt that was made at sent.
func (q *quota) noteAnswer(sent instant) {
	if sent >= q.firstMissed {
		q.missedInRow = 0
	}
}

// selectInRound returns the next attempt of a round.
func (p *Pacer) selectInRound(now instant) (Attempt, bool) {
	q := &p.quota
	if last := q.find(q.newest - 1); q.unsettled && now-last.canary >= p.Timeout(Short) {
		q.settleRound(last, p.roundLimit())
	}
	if q.unsettled || now < q.nextStart(!p.ports.isDone()) {
		return Attempt{}, false
	}
	r := q.current()
	if t, ok := p.selectRoundPort(now, r.attempts); ok {
		q.addAttempt(now, &t)
		return t, true
	}
	if r.attempts == 0 || q.interval > 0 && now < q.lastAttempt+settleDelay {
		return Attempt{}, false
	}
	return q.endRound(now), true
}

// nextStart returns the earliest start of the current round.
func (q *quota) nextStart(untried bool) instant {
	last := q.find(q.newest - 1).started
	if untried {
		return last + min(max(q.interval, leastSpacing), quietSpacing)
	}
	return last + max(q.interval, quietSpacing)
}

// roundLimit returns the maximum number of attempts in a round, which leaves a place for the
// canary. Rounds of near hosts are small, because a burst can be lost.
func (p *Pacer) roundLimit() int {
	const near = 256
	far := near * int(p.roundTrips.srtt/leastSpacing)
	return max(1, min(p.spec.MaxInFlight-1, near+far))
}

// selectRoundPort returns the next attempt of a round that has made some. Untried ports go
// first, because open ports answer under any quota.
func (p *Pacer) selectRoundPort(now instant, made int) (Attempt, bool) {
	if made < min(max(p.quota.size, untriedRound), p.roundLimit()) {
		if t, ok := p.nextUntried(); ok {
			return t, true
		}
	}
	if made < p.quota.size {
		return p.nextRetry(now)
	}
	return Attempt{}, false
}

// addAttempt adds an attempt to the current round.
func (q *quota) addAttempt(now instant, t *Attempt) {
	r := q.current()
	if r.attempts == 0 {
		r.started, r.quiet, r.by = now, now-q.latestError, q.leastVouched(t)
	}
	r.attempts++
	t.mark = q.newest
	q.lastAttempt = now
}

// leastVouched returns the sender for which an attempt at a port needs a canary most.
func (q *quota) leastVouched(t *Attempt) sender {
	if q.ports[byHost].found == 0 || q.ports[byFilter].found > 0 && t.vouched[byFilter] < t.vouched[byHost] {
		return byFilter
	}
	return byHost
}

// endRound ends the current round and returns its canary.
func (q *quota) endRound(now instant) Attempt {
	r := q.current()
	r.canary, q.unsettled = now, true
	t := Attempt{Index: q.ports[r.by].pick(), Kind: Canary, mark: q.newest}
	q.newest++
	*q.current() = round{}
	return t
}

// settleCanary sets the outcome of a round's canary that was made at sent.
func (q *quota) settleCanary(sent instant, number uint16, result outcome, most int) {
	switch {
	case result == answered:
		q.noteUse(sent)
	case result == missed && q.missedInRow == 0:
		q.missedInRow, q.firstMissed = 1, sent
	case result == missed:
		q.missedInRow++
	}
	r := q.find(number)
	if r == nil {
		return
	}
	r.result, r.canary = result, sent
	if q.unsettled && number == q.newest-1 {
		q.settleRound(r, most)
	}
}

// settleRound sets the size and the earliest time of the next round. If the canary was
// answered, the quota suffices for more attempts, unless most were silent: the quota may have
// grown before the canary. Otherwise it suffices for as many errors as the round has drawn.
func (q *quota) settleRound(r *round, most int) {
	q.unsettled = false
	suffices := r.result == answered && (q.interval == 0 || r.errors == 0 || 2*r.errors >= r.attempts)
	if suffices {
		q.size *= 2
	} else {
		q.size = max(leastRound, r.errors+r.errors/4+2)
	}
	q.size = min(q.size, most)
	q.sufficed++
	if !suffices {
		q.sufficed = 0
	}
	switch {
	case suffices && q.interval <= quotaFastest:
		if q.sufficed >= unlimitedAfter {
			q.interval = 0
		}
	case q.interval == 0:
		q.interval = quotaBegins
	case suffices, r.errors >= manyErrors:
		q.interval = max(q.interval*3/4, quotaFastest)
	case r.errors == 0:
		q.interval = min(q.interval*3/2, quotaSlowest)
	}
}
