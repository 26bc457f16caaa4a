// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"
)

// TestRateLimitReached sends as many packets as the limit allows for two seconds, at the
// interval of a timer. Their number must match the rate.
func TestRateLimitReached(t *testing.T) {
	t.Parallel()
	for _, interval := range []time.Duration{100 * time.Microsecond, time.Millisecond, 9 * time.Millisecond} {
		for _, rate := range []int{1, 7, 100, 1000, 30000} {
			l := NewRateLimit(rate)
			sent := 0
			for now := time.Duration(0); now < 2*time.Second; now += interval {
				for l.Allows(now) {
					l.Reserve(now, 1)
					sent++
				}
			}
			if least, most := 2*rate-rate/100, 2*rate+rate/100+1; sent < least || sent > most {
				t.Errorf("rate %d, every %v: got %d packets in 2 s, want %d to %d", rate, interval, sent, least, most)
			}
		}
	}
}

// TestRateLimitBurst sends packets after a pause, and requires that one packet and those of
// 10 ms are allowed at once, independent of the length of the pause.
func TestRateLimitBurst(t *testing.T) {
	t.Parallel()
	for rate, want := range map[int]int{1: 1, 99: 1, 100: 2, 1000: 11, 5000: 51} {
		for _, pause := range []time.Duration{0, time.Second, time.Hour} {
			l := NewRateLimit(rate)
			l.Reserve(0, 1)
			l = RateLimit{Interval: l.Interval, Burst: l.Burst} // as if the packet had been sent an hour ago
			got := 0
			for ; l.Allows(pause) && got < 1000; got++ {
				l.Reserve(pause, 1)
			}
			if pause > 0 && got != want {
				t.Errorf("rate %d: got %d packets after %v, want %d", rate, got, pause, want)
			}
			if pause == 0 && got > want {
				t.Errorf("rate %d: got %d packets at the start, want at most %d", rate, got, want)
			}
		}
	}
}

// TestRateLimitDisabled requires that a rate of 0 or less allows all packets.
func TestRateLimitDisabled(t *testing.T) {
	t.Parallel()
	for _, rate := range []int{0, -1} {
		l := NewRateLimit(rate)
		for range 1000 {
			if !l.Allows(0) {
				t.Fatalf("NewRateLimit(%d): Allows(0) = false, want true", rate)
			}
			l.Reserve(0, 1)
		}
	}
}
