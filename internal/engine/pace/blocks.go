// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"time"

	"portscan_exporter/internal/scan"
)

const (
	// firstPause and longestPause bound the time for which attempts stop after our
	// own side could not make one.
	firstPause, longestPause = 10 * time.Millisecond, 200 * time.Millisecond

	// patience is how long an address is asked for to which our own side finds no
	// way, or is not allowed to go, before that is its state.
	patience = 3 * time.Second

	// mostFailures of one port, amid others that fare better, are its own.
	mostFailures = 5
)

// blocks is what our own side can't do.
type blocks struct {
	lack   scan.Cause // why nothing can be sent now; none where it can
	since  instant
	until  instant
	paused time.Duration
}

// blocked tells whether attempts have to wait. Until one has been made again,
// they go one by one.
func (b *blocks) blocked(now instant, inFlight int) bool {
	return b.lack != scan.CauseNone && (now < b.until || inFlight > 0)
}

func (b *blocks) block(now instant, cause scan.Cause) {
	if !passing(cause) && (b.lack == scan.CauseNone || passing(b.lack)) {
		b.since = now
	}
	b.lack = cause
	if now >= b.until {
		b.paused = min(max(2*b.paused, firstPause), longestPause)
		b.until = now + b.paused
	}
}

func (b *blocks) unblock() { *b = blocks{} }

// stuck tells whether it is no use to go on. Descriptors and local ports come
// back; a way to the address is given up after a while.
func (b *blocks) stuck(now instant) bool {
	return b.lack != scan.CauseNone && !passing(b.lack) && now-b.since >= patience
}

// passing tells whether a cause is one that passes: what is lacking comes back.
func passing(cause scan.Cause) bool {
	return cause == scan.CauseDescriptors || cause == scan.CauseSourcePorts
}

// Failed takes back an attempt that our own side could not make, or that proved
// to be its own doing. The port is tried again later.
func (p *Path) Failed(now, sent time.Duration, t Try, cause scan.Cause) {
	p.inFlight--
	p.window.back(t.tick)
	p.block(now, cause)
	if cause == scan.CauseDescriptors {
		t.nth-- // there was no attempt
		p.made--
	}
	if t.Kind == Canary {
		p.canaries.settle(t.mark, sent, untold)
		return
	}
	if !passing(cause) {
		t.failures++
		if t.failures >= mostFailures && p.inFlight > 0 {
			p.finish(t, scan.PortResult{Cause: cause})
			return
		}
	}
	p.again.push(entry{t, now + p.paused})
}
