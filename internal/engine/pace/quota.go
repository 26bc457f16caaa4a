// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"time"
)

const (
	// quotaBegins bounds the time between attempts at first, and quotaSlowest for good,
	// at a target that says "closed" only so often. Linux does once a second to each
	// address, after a burst of six (net.ipv4.icmp_ratelimit), and BSDs 200 times.
	quotaBegins, quotaSlowest = 50 * time.Millisecond, 2 * time.Second

	// quotaStride is how many attempts there are at most between canaries then: each
	// takes an answer from the target's budget that a port could have had.
	quotaStride = 4

	// quotaConfirmed answers in a row, at one pace, show that the budget grows as fast
	// as that: from then on silence is not for want of it.
	quotaConfirmed = 2

	// quotaFaster answers in a row let it go faster by a quarter, and below
	// quotaEnds there is none to speak of.
	quotaFaster = 4
	quotaEnds   = 500 * time.Microsecond

	// quotaSteady answers in a row are what a path that loses some seldom brings.
	quotaSteady = 6

	// quotaVain is how long losses are lived with that going slower did not help.
	quotaVain = 5 * time.Second

	// quotaKept is how long a pace counts as too fast that lost answers.
	quotaKept = 10 * time.Second
)

// quota spreads attempts over time as far as a target's budget of ICMP errors
// asks for (RFC 1812 section 4.3.2.8, RFC 4443 section 2.4 (f)): one that is made
// when the budget is spent goes unanswered, and looks like an open port's. The
// zero value asks for nothing.
type quota struct {
	pace  limit
	nth   uint8   // pace, counted from 0; it goes up when attempts go slower
	since instant // of this pace
	all   int     // answers
	last  instant // when the latest attempt was made that was answered
	lost  int     // canaries since
	inRow int     // attempts that were answered one after the other
	doubt int     // attempts that were silent before the pace was confirmed
	made  float64 // attempts of late: halved every second
	faded instant

	tooFast      time.Duration // a pace at which answers were lost
	tooFastUntil instant

	vainly     int     // how often answers were lost at a pace that was confirmed
	vainlyTill instant // until when losses are taken for the path's
}

// on tells whether attempts are spread.
func (q *quota) on() bool { return q.pace.every > 0 }

// confirmed tells whether an attempt made now would be answered, were it for the
// budget alone. While nothing is known of one, that is taken for granted.
func (q *quota) confirmed() bool { return !q.on() || q.inRow >= quotaConfirmed }

// silent takes an attempt that was not answered.
func (q *quota) silent() {
	if !q.confirmed() {
		q.inRow = 0
		q.doubt++
	}
}

// wantsCanary tells whether the pace has to be confirmed by one, after so many
// other attempts. A port's own answer is as good and costs nothing more; but where
// several were silent there might never be two answers in a row.
func (q *quota) wantsCanary(stride int) bool {
	const several = 3
	return q.doubt > 0 && stride > 0 || q.doubt >= several
}

// slowing tells whether going slower may still help.
func (q *quota) slowing() bool { return q.on() && q.pace.every < quotaSlowest }

func (q *quota) allows(now instant) bool { return q.pace.allows(now) }

// take counts an attempt. Unlike a ceiling's, time that was not used is gone, but
// for what timers can't do.
func (q *quota) take(now instant) {
	for ; now-q.faded >= time.Second; q.faded += time.Second {
		q.made /= 2
	}
	q.made++
	if q.pace.every < burst {
		q.pace.take(now)
		return
	}
	q.pace.next = now + q.pace.every
}

// answered takes an answer to an attempt made at sent. After losses the time since
// the one before it tells how long the budget takes to grow by one: it returns true
// where attempts go at that pace from now on.
func (q *quota) answered(now, sent instant) (slower bool) {
	q.all++
	if !q.on() || sent <= q.last {
		q.last = max(q.last, sent)
		return false
	}
	gap := sent - q.last
	q.last = sent
	if q.lost > 0 {
		q.lost, q.inRow = 0, 0
		q.set(now, max(q.pace.every, gap+gap/8))
		return true
	}
	q.inRow++
	if q.confirmed() {
		q.doubt = 0
	}
	if q.inRow >= quotaSteady {
		q.vainly = 0
	}
	if q.inRow < quotaFaster {
		return false
	}
	every := q.pace.every - q.pace.every/4
	if now < q.tooFastUntil {
		every = max(every, q.tooFast+q.tooFast/8)
	}
	q.set(now, min(every, q.pace.every))
	if q.pace.every < quotaEnds {
		q.pace = limit{}
	}
	return false
}

// missed takes a canary that was made at sent and not answered by now, and tells
// whether attempts go at another pace from now on. One that was made at another pace
// says nothing of this one.
func (q *quota) missed(now, sent instant) (changed bool) {
	switch {
	case !q.on() && (now < q.vainlyTill || q.made < float64(q.all)/now.Seconds()):
		return false // it has answered more than it is asked now
	case q.on() && (sent < q.last || sent < q.since):
		return false
	case q.on() && q.inVain():
		*q = quota{nth: q.nth, all: q.all, last: q.last, made: q.made, faded: q.faded, vainlyTill: now + quotaVain}
		return true
	}
	q.lost++
	q.inRow = 0
	if !q.on() {
		// As fast as answers have come so far, or less.
		q.set(now, min(max(now/time.Duration(q.all+1), 2*quotaEnds), quotaBegins))
		q.tooFast, q.tooFastUntil = q.pace.every/2, now+quotaKept
		return true
	}
	q.tooFast, q.tooFastUntil = q.pace.every, now+quotaKept
	q.set(now, 2*q.pace.every)
	return true
}

// inVain tells, at a loss, whether it is no budget that answers are lost for: one
// that has proved to be enough for a pace would go on to be, but for what it had
// saved.
func (q *quota) inVain() bool {
	const enough = 2 // of such losses
	if q.confirmed() {
		q.vainly++
	}
	return q.vainly >= enough
}

func (q *quota) set(now instant, every time.Duration) {
	if every = min(every, quotaSlowest); every != q.pace.every {
		q.pace = limit{every: every, next: now + every}
		q.since, q.inRow = now, 0
	}
}

// slowDown takes a missed canary, or an answer to a port that was silent before
// while canaries were answered, for a sign that the budget of a target that says
// "closed" to datagrams is spent, if there are many of them.
func (p *Path) slowDown(now, sent instant, canary bool) {
	if !p.udp || !p.canaries.resets {
		return
	}
	signs := many(p.retried.retried, p.retried.answers)
	if canary {
		signs = signs || p.quota.on() || many(p.canaries.lost, p.canaries.sent)
	}
	if !signs {
		return
	}
	if p.quota.missed(now, sent) {
		p.forgetLosses()
	}
}

// many tells whether so many losses are more than what a bad path loses, chance
// left aside.
func many(lost, of float64) bool {
	const bad = 0.25
	return lost-math.Sqrt(lost) > bad*of
}

// spend takes an answer from the target's budget.
func (p *Path) spend(now, sent instant) {
	if p.quota.answered(now, sent) {
		p.forgetLosses()
	}
}

// count drops the silence that was counted at another pace: it may have been for
// want of budget.
func (t *Try) count(pace uint8) {
	if t.pace != pace {
		t.pace, t.counted, t.evidence = pace, 0, 0
	}
}

// forgetLosses begins a slower pace, of which the losses of the faster one say
// nothing.
func (p *Path) forgetLosses() {
	p.quota.nth++
	p.canaries.forget()
	p.retried = losses{}
}
