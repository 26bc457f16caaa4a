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
			t.Errorf("one silent attempt weighs %d where %v is lost, want %d", got, loss, want)
		}
	}
}

// TestLossesShare adds answers of which some took a retry.
func TestLossesShare(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		answers, retried int
		want             float64
	}{
		{0, 0, 0},
		{1, 0, 0}, // that few answers took a retry says nothing where few were given
		{1000, 0, 0},
		{1, 1, 2.0 / 3},
		{8, 1, 2.0 / 10},
		{98, 19, 20.0 / 100},
	} {
		var l losses
		for i := range tc.answers {
			l.add(0, i < tc.retried)
		}
		if got := l.share(0); got != tc.want {
			t.Errorf("%d answers, %d after a retry: %v, want %v", tc.answers, tc.retried, got, tc.want)
		}
	}
}

// TestLossesFade forgets half of what was seen every second, and in the end all.
func TestLossesFade(t *testing.T) {
	t.Parallel()
	var l losses
	l.add(0, false) // sets the clock going
	for range 15 {
		l.add(10*time.Millisecond, true)
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
		if got := l.share(tc.at); got != tc.want {
			t.Errorf("after %v the share is %v, want %v", tc.at, got, tc.want)
		}
	}
	l.add(time.Hour, true)
	if got := l.share(time.Hour); got != 2.0/3 {
		t.Errorf("after an hour of nothing, one answer makes a share of %v, want %v", got, 2.0/3)
	}
}

// TestEvidenceAddsUp to as much as there is room for, and not past it to nothing.
func TestEvidenceAddsUp(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2")
	spec.Retries = 10
	p, results := testPath(t, spec, false)
	p.Answered(ms, 0, next(t, p, 0), scan.Closed, scan.CauseRST)
	p.canaries.sentInAll, p.canaries.lostInAll = 1000, 3 // each silence weighs 25, so that eleven are above 255
	for now, left := ms, 1; left > 0; now += ms {
		p.Tick(now)
		try, ok := p.Next(now)
		switch {
		case now > time.Minute:
			t.Fatal("it does not end")
		case !ok:
		case try.Kind == Canary:
			p.Answered(now+ms, now, try, scan.Closed, scan.CauseRST)
		default:
			p.Silent(now, try)
		}
		left = 2 - len(results)
	}
	for i, r := range results {
		if r.State == scan.Unknown {
			t.Errorf("port %d was silent %d times, each almost proof, and is %v", i, r.Attempts, r.State)
		}
	}
}
