// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// Lost takes note that answers have come which could not be read, as when a receiver's
// ring overflows. Any of them may have answered any attempt made by now: the silence of
// those attempts proves nothing.
func (p *Path) Lost(now time.Duration) {
	p.lostAt = now
	for p.held.used > 0 {
		e := p.held.pop()
		e.counted, e.evidence = 0, 0
		p.askPatiently(e)
	}
}

// unproven drops the evidence of attempts whose answers may have been lost, the latest
// of which was made at sent, and reports whether it did.
func (p *Path) unproven(t *Try, sent instant) bool {
	if sent > p.lostAt {
		return false
	}
	t.counted, t.evidence = 0, 0
	return true
}

// walkAgain starts another walk over the ports that were silent while the address had
// never answered, if it has answered since or if answers were lost. Otherwise nothing is
// left, or [Path.Dark] has to be asked.
func (p *Path) walkAgain(now instant) {
	if p.darkened == 0 || !p.canaries.known() && p.lostAt < p.walked {
		return
	}
	p.darkened, p.dark = 0, nil
	p.ports = cursor{order: p.order, seed: p.ports.seed}
	p.walked = now
}
