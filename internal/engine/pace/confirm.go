// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

// confirmation is another attempt at a rejected port after the alarm, while other attempts wait.
// Canaries do not show a filter that rejects attempts beyond a rate, because they are few.
// The attempt is made retryInterval after the rejected one, so that the filter lets it through.
type confirmation struct {
	wanted bool
	active bool // the attempt is in flight
}

func (c confirmation) isPending() bool { return c.wanted || c.active }

// noteGoodCanary notes that a canary or a check made at sent was answered as before. After an
// alarm, which an address that rejects some ports raises less often from then on, it starts a
// confirmation.
func (p *Pacer) noteGoodCanary(sent instant) {
	r := &p.rejects
	if !r.alarm || sent < r.alarmAt {
		r.noteAnswer(sent)
		return
	}
	if r.confirmation.isPending() {
		return
	}
	r.run, r.allowed = 0, min(2*r.allowed, maxCanaryGap)
	if r.limited || p.spec.MaxRetries == 0 {
		r.alarm = false
		return
	}
	r.confirmation.wanted = true
}

// awaitsCheck reports whether only a check can end the alarm.
func (p *Pacer) awaitsCheck() bool {
	return p.rejects.alarm && !p.canaries.isKnown() && !p.rejects.confirmation.isPending()
}

// selectConfirmation returns the attempt of the confirmation if it is due.
func (p *Pacer) selectConfirmation(now instant) (Attempt, bool) {
	r := &p.rejects
	if !r.confirmation.wanted || p.ended {
		return Attempt{}, false
	}
	q := &r.unproven
	if q.used == 0 {
		q = &r.proven
	}
	if q.used == 0 || int(q.last().number) > p.spec.MaxRetries {
		r.confirmation, r.alarm = confirmation{}, false
		return Attempt{}, false
	}
	if now < q.last().sent+retryInterval+grain {
		return Attempt{}, false
	}
	e := q.popLast()
	p.withdrawPort(&e)
	r.confirmation = confirmation{active: true}
	e.confirms = true
	return e.Attempt, true
}

// endConfirmation ends the confirmation if the attempt belongs to it. If the port answers
// otherwise now, a filter limits the rate of attempts.
func (p *Pacer) endConfirmation(t *Attempt, otherwise bool) {
	if !t.confirms {
		return
	}
	t.confirms = false
	p.rejects.confirmation, p.rejects.alarm = confirmation{}, false
	if otherwise {
		p.rejects.noteLimit()
	}
}

// withdrawPort withdraws the result of a rejected port, so that it can be tried again.
func (p *Pacer) withdrawPort(e *pendingAttempt) {
	p.releaseLast()
	p.done.clear(int(e.Index))
	p.remaining++
	e.reported = e.number
}
