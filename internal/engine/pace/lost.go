// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// AnswersLost notes that answers were lost, for example because a receiver's ring was full.
// They may have answered any attempt made by now, whose silence is therefore no evidence.
func (p *Pacer) AnswersLost(now time.Duration) {
	p.lostAt = now
	p.forgetSilent()
	for p.held.used > 0 {
		e := p.held.pop()
		e.forgetSilences()
		p.retryFull(e)
	}
}

// dropUnproven drops the evidence of attempts whose answers may have been lost, the latest
// of which was made at sent, and reports whether it did.
func (p *Pacer) dropUnproven(t *Attempt, sent instant) bool {
	if sent > p.lostAt {
		return false
	}
	t.forgetSilences()
	return true
}

// restartWalk starts another walk over the ports that were silent while the address had
// never answered, if it has answered since or if answers were lost. Otherwise
// [Pacer.IsDark] has to be asked.
func (p *Pacer) restartWalk() {
	if p.IsDark() {
		return
	}
	p.ports = cursor{order: p.order, seed: p.ports.seed}
}
