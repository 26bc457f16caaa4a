// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "portscan_exporter/internal/scan"

// Dark tells whether all that is left to say is that the address was silent
// wherever it was asked; [Path.End] then says it.
func (p *Path) Dark() bool {
	return p.left > 0 && p.left == p.darkened && p.inFlight == 0 && !p.canaries.known() && p.lostAt < p.walked
}

// End reports all ports that are left. With cause none, those that were silent
// of an address that can't be vouched for are what silence means, and what is known to be
// lacking explains the others, or that time ran out; any other cause is that of
// all of them.
func (p *Path) End(cause scan.Cause) {
	p.inFlight = 0
	if cause == scan.CauseNone {
		cause = scan.CauseDeadline
		if p.lack != scan.CauseNone {
			cause = p.lack
		}
		if p.dark != nil && !p.canaries.known() {
			p.concludeDark()
		}
	}
	p.conclude(scan.PortResult{Cause: cause})
}

func (p *Path) concludeDark() {
	for i := range p.order.ports {
		if p.dark.has(i) && !p.done.has(i) {
			t := Try{Index: uint16(i), nth: uint8(1 + min(1, p.spec.Retries))} //nolint:gosec // an index of a port
			p.finish(t, p.silent())
		}
	}
}

// conclude reports all that is left, with the attempts that were made at them.
func (p *Path) conclude(r scan.PortResult) {
	if p.left == 0 {
		return
	}
	spent := max(0, p.made-p.told)
	each, more := min(spent/p.left, 255), spent%p.left
	for i := range p.order.ports {
		if p.done.has(i) {
			continue
		}
		nth := each
		if more > 0 {
			nth++
			more--
		}
		p.finish(Try{Index: uint16(i), nth: uint8(min(nth, 255))}, r) //nolint:gosec // an index of a port
	}
}

// finish reports a port, once. The last report carries the canaries' attempts.
func (p *Path) finish(t Try, r scan.PortResult) {
	index := int(t.Index)
	if p.done.has(index) {
		return
	}
	p.done.set(index)
	p.left--
	if p.dark != nil && p.dark.has(index) {
		p.darkened--
	}
	r.Attempts = int(t.nth)
	p.told += r.Attempts
	if p.left == 0 && p.made > p.told {
		r.Attempts += p.made - p.told
	}
	p.report(index, r)
}
