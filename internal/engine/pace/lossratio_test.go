// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

func TestWeight(t *testing.T) {
	t.Parallel()
	for loss, want := range map[float64]int{
		noLoss: 30, 0.01: 20, 0.1: 10, 0.19: 7, 0.5: 3, 0.79: 1, 0.99: 0, 1: 0, 1.5: 0,
	} {
		if got := weight(loss); got != want {
			t.Errorf("weight(%v) = %d, want %d", loss, got, want)
		}
	}
}

// TestRecentCountRatio adds answers, some of them to a retry, and compares the estimated loss.
func TestRecentCountRatio(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answers, retried int
		want             float64
	}{
		{0, 0, 0},
		{1, 0, 0}, // no loss is assumed until a retry is answered
		{1000, 0, 0},
		{1, 1, 2.0 / 3},
		{8, 1, 2.0 / 10},
		{98, 19, 20.0 / 100},
	} {
		var c recentCount
		for i := range tc.answers {
			c.add(i < tc.retried)
		}
		if got := c.retryRatio(); got != tc.want {
			t.Errorf("%d answers, %d to a retry: retryRatio() = %v, want %v", tc.answers, tc.retried, got, tc.want)
		}
	}
}

// TestRecentCountDecay requires that the counts are halved every second and are 0 in the end.
func TestRecentCountDecay(t *testing.T) {
	t.Parallel()
	var c recentCount
	c.add(false)
	for range 15 {
		c.add(true)
	}
	for _, tc := range []struct {
		at   time.Duration
		want float64
	}{
		{500 * time.Millisecond, 16.0 / 18},
		{1100 * time.Millisecond, 8.5 / 10},
		{1900 * time.Millisecond, 8.5 / 10},
		{2100 * time.Millisecond, 4.75 / 6},
		{time.Hour, 0},
	} {
		if c.decay(tc.at, 0); c.retryRatio() != tc.want {
			t.Errorf("retryRatio() at %v = %v, want %v", tc.at, c.retryRatio(), tc.want)
		}
	}
	if c.add(true); c.retryRatio() != 2.0/3 {
		t.Errorf("one answer after an hour: retryRatio() = %v, want %v", c.retryRatio(), 2.0/3)
	}
}

// TestEvidenceSaturates adds more evidence than its 8 bits can store, and requires that it
// does not overflow: the port must not be unknown.
func TestEvidenceSaturates(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2")
	spec.Retries = 10
	p, results := newTestPacer(t, spec, false)
	p.Answered(ms, 0, mustNext(t, p, 0), Answer{State: scan.Closed, Cause: scan.CauseRST})
	p.canaries.totalSent, p.canaries.totalLost = 1000, 3 // each silent attempt counts 25, eleven exceed 255
	for now, left := ms, 1; left > 0; now += ms {
		p.Tick(now)
		attempt, ok := p.Next(now)
		switch {
		case now > time.Minute:
			t.Fatal("the scan did not end within a minute")
		case !ok:
		case attempt.Kind == Canary:
			p.Answered(now+ms, now, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
		default:
			p.TimedOut(now, attempt)
		}
		left = 2 - len(results)
	}
	for i, r := range results {
		if r.State == scan.Unknown {
			t.Errorf("port %d: got %v after %d attempts, want closed or filtered", i, r.State, r.Attempts)
		}
	}
}
