// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// burst is the time for which unused capacity accumulates. It covers the inaccuracy of
// timers under load.
const burst = 10 * time.Millisecond

// RateLimit limits the rate of packets by the generic cell rate algorithm. The zero value
// has no limit. It is for one goroutine at a time.
type RateLimit struct {
	Interval time.Duration // mean time between packets; 0: no limit
	Burst    time.Duration // the time for which unused capacity accumulates

	next instant
}

// NewRateLimit returns a limit in packets per second; 0: no limit.
func NewRateLimit(packets int) RateLimit {
	if packets <= 0 {
		return RateLimit{}
	}
	return RateLimit{Interval: time.Second / time.Duration(packets), Burst: burst}
}

// Allows reports whether a packet may be sent now.
func (l *RateLimit) Allows(now time.Duration) bool { return l.Interval == 0 || l.next <= now }

// Reserve counts packets, and returns the time from which the first of them may be sent. The
// others follow at intervals.
func (l *RateLimit) Reserve(now time.Duration, packets int) (first time.Duration) {
	first = max(l.next, now-l.Burst)
	l.next = first + time.Duration(packets)*l.Interval
	return first
}
