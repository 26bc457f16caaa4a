// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import "time"

// limit is a ceiling on packets a second: each moves the moment of the next one
// (the generic cell rate algorithm). The zero value sets none.
type limit struct {
	every time.Duration // between packets, on the average
	next  instant
}

// perSecond returns a ceiling of so many packets a second; 0 sets none.
func perSecond(packets int) limit {
	if packets <= 0 {
		return limit{}
	}
	return limit{every: time.Second / time.Duration(packets)}
}

// burst is for how long packets that were due may still leave at once: timers are
// no finer than that under load.
const burst = 10 * time.Millisecond

// allows tells whether a packet may leave now.
func (l *limit) allows(now instant) bool { return l.every == 0 || l.next <= now }

// take counts a packet.
func (l *limit) take(now instant) {
	l.next = max(l.next, now-burst) + l.every
}
