// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// scanLosingAnswers scans four ports of a host that only answers canaries, with an engine
// that receives late answers. If known is true, three of the ports have answered before. If
// lost is true, the engine reports for each attempt that answers were lost.
func scanLosingAnswers(t *testing.T, known, lost bool) (results map[int]scan.PortResult, attempts int) {
	t.Helper()
	plan := mustPlan(t, testSpec("1-4"))
	results = make(map[int]scan.PortResult)
	p, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), ReceivesLate: true, Report: reportEach(plan, func(i int, r scan.PortResult) { results[i] = r })})
	if err != nil {
		t.Fatal(err)
	}
	for i := time.Duration(0); known && i < 3*ms; i += ms {
		p.Answered(i+ms, i, mustNext(t, p, i), Answer{State: scan.Closed, Cause: scan.CauseRST})
	}
	d := lostAnswerDriver{pacer: p, lost: lost}
	for now := 10 * ms; now < 5*time.Second && !p.IsDone(); now += ms {
		d.step(now)
	}
	return results, d.attempts
}

// lostAnswerDriver makes the attempts of a pacer.
type lostAnswerDriver struct {
	pacer    *Pacer
	lost     bool // report a lost answer for each attempt
	attempts int
	inFlight []pendingAttempt
}

// step makes the attempts that are due, and ends those whose timeout has expired.
func (d *lostAnswerDriver) step(now time.Duration) {
	d.pacer.Tick(now)
	if d.pacer.IsDark() {
		d.pacer.End(scan.CauseNone)
	}
	for {
		attempt, ok := d.pacer.Next(now)
		switch {
		case !ok:
			d.expireAttempts(now)
			return
		case attempt.Kind == Canary:
			d.pacer.Answered(now+ms/2, now, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
		default:
			d.inFlight = append(d.inFlight, pendingAttempt{attempt, now})
			d.attempts++
		}
	}
}

func (d *lostAnswerDriver) expireAttempts(now time.Duration) {
	kept := d.inFlight[:0]
	for _, attempt := range d.inFlight {
		if d.lost && now-attempt.sent == 2*ms {
			d.pacer.AnswersLost(now)
		}
		if now-attempt.sent < d.pacer.Timeout(attempt.Kind) {
			kept = append(kept, attempt)
			continue
		}
		d.pacer.TimedOut(attempt.sent, attempt.Attempt)
	}
	d.inFlight = kept
}

// TestLostAnswersNotSilence reports a lost answer for each attempt, and requires that the
// attempts are repeated and no port is filtered, whether or not the address has answered
// before. Without lost answers, all silent ports must be filtered.
func TestLostAnswersNotSilence(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		want := 4
		if known {
			want = 1 // the other three have answered
		}
		results, attempts := scanLosingAnswers(t, known, true)
		if attempts < 4*want {
			t.Errorf("known %v: got %d attempts, want at least %d", known, attempts, 4*want)
		}
		for i, r := range results {
			if r.State == scan.Filtered {
				t.Errorf("known %v: got port %d filtered with lost answers, want unknown", known, i)
			}
		}
		results, _ = scanLosingAnswers(t, known, false)
		filtered := 0
		for _, r := range results {
			if r.State == scan.Filtered {
				filtered++
			}
		}
		if filtered != want {
			t.Errorf("known %v: got %d filtered ports without lost answers, want %d", known, filtered, want)
		}
	}
}

// TestLostAnswersBeforeEnd loses answers of an address that has not answered before, and ends
// the scan before the silent ports have been tried again. None of them may be filtered.
func TestLostAnswersBeforeEnd(t *testing.T) {
	t.Parallel()
	for _, receivesLate := range []bool{false, true} {
		d := newDriver(t, simulation{spec: testSpec("1-65535"), network: always(silence), receivesLate: receivesLate})
		const lost, end = 4 * time.Second, 4100 * ms
		for d.now < lost {
			d.step(end)
		}
		if d.pacer.silentCount == 0 {
			t.Fatal("no port was silent before answers were lost")
		}
		d.pacer.AnswersLost(d.now)
		d.pacer.report = func(r scan.PortResult) {
			if r.State == scan.Filtered {
				t.Errorf("receivesLate %v: %d ports are filtered, want unknown", receivesLate, r.Count())
			}
		}
		d.run(end)
	}
}
