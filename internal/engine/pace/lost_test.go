// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// lossyPath makes a path of an engine that hears late answers, and drives it for so long
// with a host whose answers to all but canaries are lost, each loss being told.
func lossyPath(t *testing.T, known, lost bool) (results map[int]scan.PortResult, attempts int) {
	t.Helper()
	plan := mustPlan(t, testSpec("1-4"))
	results = make(map[int]scan.PortResult)
	p, err := NewPath(Options{Plan: plan, Order: NewOrder(plan), Hears: true, Report: func(i int, r scan.PortResult) { results[i] = r }})
	if err != nil {
		t.Fatal(err)
	}
	for i := time.Duration(0); known && i < 3*ms; i += ms {
		p.Answered(i+ms, i, next(t, p, i), scan.Closed, scan.CauseRST)
	}
	d := lossDriver{path: p, lost: lost}
	for now := 10 * ms; now < 5*time.Second && !p.Done(); now += ms {
		d.step(now)
	}
	return results, d.attempts
}

// lossDriver makes a path's attempts.
type lossDriver struct {
	path     *Path
	lost     bool // the answer to every attempt comes, and is lost
	attempts int
	flights  []entry
}

func (d *lossDriver) step(now time.Duration) {
	d.path.Tick(now)
	if d.path.Dark() {
		d.path.End(scan.CauseNone)
	}
	for {
		try, ok := d.path.Next(now)
		switch {
		case !ok:
			d.land(now)
			return
		case try.Kind == Canary:
			d.path.Answered(now+ms/2, now, try, scan.Closed, scan.CauseRST)
		default:
			d.flights = append(d.flights, entry{try, now})
			d.attempts++
		}
	}
}

func (d *lossDriver) land(now time.Duration) {
	kept := d.flights[:0]
	for _, f := range d.flights {
		if d.lost && now-f.sent == 2*ms {
			d.path.Lost(now)
		}
		if now-f.sent < d.path.Hold(f.Kind) {
			kept = append(kept, f)
			continue
		}
		d.path.Silent(f.sent, f.Try)
	}
	d.flights = kept
}

// TestLostAnswersProveNothing has the answer to every attempt come and be lost: no port
// is filtered, however often it was silent, and whether or not the address has answered.
func TestLostAnswersProveNothing(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		want := 4
		if known {
			want = 1 // the other three have answered
		}
		results, attempts := lossyPath(t, known, true)
		if attempts < 4*want {
			t.Errorf("known %v: %d attempts, want at least %d", known, attempts, 4*want)
		}
		for i, r := range results {
			if r.State == scan.Filtered {
				t.Errorf("known %v: port %d is filtered, and every answer was lost", known, i)
			}
		}
		results, _ = lossyPath(t, known, false)
		filtered := 0
		for _, r := range results {
			if r.State == scan.Filtered {
				filtered++
			}
		}
		if filtered != want {
			t.Errorf("known %v: %d ports filtered without a loss, want %d", known, filtered, want)
		}
	}
}
