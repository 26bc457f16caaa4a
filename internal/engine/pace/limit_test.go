// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

// TestLimitKeepsRate asks for as much as it can get for two seconds, at a timer's
// pace: what is due must come, and no more.
func TestLimitKeepsRate(t *testing.T) {
	t.Parallel()
	for _, beat := range []time.Duration{100 * time.Microsecond, time.Millisecond, 9 * time.Millisecond} {
		for _, rate := range []int{1, 7, 100, 1000, 30000} {
			l := perSecond(rate)
			sent := 0
			for now := time.Duration(0); now < 2*time.Second; now += beat {
				for l.allows(now) {
					l.take(now)
					sent++
				}
			}
			if least, most := 2*rate-rate/100, 2*rate+rate/100+1; sent < least || sent > most {
				t.Errorf("%d a second, asked every %v: %d in two seconds", rate, beat, sent)
			}
		}
	}
}

// TestLimitBurst asks after a long pause: 10 ms of packets and one leave at once,
// and no more, however long the pause was.
func TestLimitBurst(t *testing.T) {
	t.Parallel()
	for rate, want := range map[int]int{1: 1, 99: 1, 100: 2, 1000: 11, 5000: 51} {
		for _, pause := range []time.Duration{0, time.Second, time.Hour} {
			l := perSecond(rate)
			l.take(0)
			l = limit{every: l.every} // as if it had been an hour ago
			got := 0
			for ; l.allows(pause) && got < 1000; got++ {
				l.take(pause)
			}
			if pause > 0 && got != want {
				t.Errorf("%d a second: %d at once after %v, want %d", rate, got, pause, want)
			}
			if pause == 0 && got > want {
				t.Errorf("%d a second: %d at once at the start, want at most %d", rate, got, want)
			}
		}
	}
}

func TestNoLimit(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, -1} {
		l := perSecond(rate)
		for range 1000 {
			if !l.allows(0) {
				t.Fatalf("a rate of %d, which is none, holds packets back", rate)
			}
			l.take(0)
		}
	}
}
