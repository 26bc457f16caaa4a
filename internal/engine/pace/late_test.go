// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestLateAnswersWithSilentPorts scans a host with silent ports whose open ports answer after
// up to 900 ms, later than the timeout of most attempts. All must be reported as open, with
// and without detection of late answers.
func TestLateAnswersWithSilentPorts(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{near, 50 * ms, 200 * ms, 900 * ms}
	for seed := range uint32(4) {
		for _, noLateDetection := range []bool{false, true} {
			r := simulate(t, simulation{spec: testSpec("1-4000"), seed: seed, noLateDetection: noLateDetection, network: func(a attemptInfo) attemptResult {
				if a.index%200 == 0 {
					return open(delays[a.index/200%len(delays)])
				}
				return silence
			}})
			r.wantCounts(t, map[string]int{"open handshake": 20, "filtered silence": 3980})
			r.wantDuration(t, 950*ms, 8*time.Second)
		}
	}
}

// TestOneLateAnswer scans a host with silent ports and a short round trip on which a single
// open port answers late. It must be reported as open.
func TestOneLateAnswer(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{60 * ms, 140 * ms, 300 * ms, 600 * ms, 900 * ms} {
		r := simulate(t, simulation{spec: testSpec("1-2000"), seed: 1, network: func(a attemptInfo) attemptResult {
			switch {
			case a.index == 777:
				return open(delay)
			case a.index%100 == 0:
				return closed(near)
			default:
				return silence
			}
		}})
		if !r.onlyPortsHave(scan.Open, 777) {
			t.Errorf("answer after %v: got %+v for port 777, want it open and no other port", delay, r.results[777])
		}
	}
}

// TestLateChecked requires that a silent port is not reported before a check for late answers
// after port_timeout. Without late answers it must be filtered, otherwise tried again.
func TestLateChecked(t *testing.T) {
	t.Parallel()
	for _, came := range []bool{false, true} {
		p, results := newTestPacer(t, testSpec("1-4"), true)
		for i := range 3 {
			now := time.Duration(i) * ms
			p.Answered(now+ms, now, mustNext(t, p, now), Answer{State: scan.Closed, Cause: scan.CauseRST})
		}
		// The fourth port is silent twice while the path works.
		last := sendSilentAttempt(t, p, 10*ms)
		last = sendSilentAttempt(t, p, last+retryInterval)
		if p.Tick(last + 500*ms); len(results) != 3 {
			t.Fatalf("got %d results before the check for late answers, want 3", len(results))
		}
		if p.LateChecked(last+949*ms, false); p.IsDone() {
			t.Error("got a result before port_timeout, want none")
		}
		p.LateChecked(last+950*ms, came)
		if !came {
			if !p.IsDone() {
				t.Error("got no result without a late answer, want filtered")
			}
			continue
		}
		attempt := mustNext(t, p, last+950*ms)
		if attempt.Kind != Full {
			t.Errorf("got attempt of kind %d after a late answer, want %d", attempt.Kind, Full)
		}
		p.Answered(last+1800*ms, last+950*ms, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
		if !p.IsDone() || results[int(attempt.Index)].State != scan.Closed {
			t.Errorf("got %+v after an answer, want closed", results[int(attempt.Index)])
		}
	}
}

// sendSilentAttempt makes one silent attempt at a port, and answers all canaries until the
// pacer has evaluated it. It returns the time of the attempt.
func sendSilentAttempt(tb testing.TB, p *Pacer, now time.Duration) time.Duration {
	tb.Helper()
	sent, tried := time.Duration(-1), Attempt{}
	for from := now; now < from+500*ms; now += ms {
		p.Tick(now)
		switch attempt, ok := p.Next(now); {
		case ok && attempt.Kind == Canary:
			p.Answered(now+ms, now, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
		case ok && sent < 0:
			sent, tried = now, attempt
		case ok:
			tb.Fatalf("got another attempt of kind %d at %v, want none", attempt.Kind, now)
		}
		if sent >= 0 && tried.number > 0 && now-sent >= p.Timeout(tried.Kind) {
			p.TimedOut(sent, tried)
			tried.number = 0 // TimedOut was called
		}
		if sent >= 0 && now-sent > 240*ms {
			return sent
		}
	}
	tb.Fatal("got no attempt within 500 ms")
	return 0
}

// TestLateAnswersAlwaysReported reports late answers at every check although there are none.
// Each silent port must be tried once more, with the complete port_timeout, and the scan must
// end.
func TestLateAnswersAlwaysReported(t *testing.T) {
	t.Parallel()
	host := some(1000, always(open(near)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-20000"), alwaysReportsLate: true, network: host})
	r.wantCounts(t, map[string]int{"open handshake": 20, "filtered silence": 19980})
	r.wantDuration(t, 950*ms, 6*time.Second)
	r.wantAttempts(t, 3, host)
	for i, p := range r.results {
		if p.State == scan.Filtered && !slices.ContainsFunc(r.attempts, func(attempt sentAttempt) bool {
			return int(attempt.Index) == i && attempt.ended-attempt.sent >= r.spec.PortTimeout
		}) {
			t.Fatalf("port %d: got filtered without an attempt of %v, want at least one", i, r.spec.PortTimeout)
		}
	}
}

// TestLateAnswersNoLoss scans a host with silent ports on which four closed ports answer after
// the timeout of most attempts. Those attempts must not count as lost: a loss would require
// more attempts at the silent ports.
func TestLateAnswersNoLoss(t *testing.T) {
	t.Parallel()
	for _, noLateDetection := range []bool{false, true} {
		r := simulate(t, simulation{spec: testSpec("1-4000"), seed: 3, noLateDetection: noLateDetection, network: func(a attemptInfo) attemptResult {
			switch {
			case a.index%1000 == 7:
				return closed(600 * ms)
			case a.index%100 == 0:
				return closed(near)
			default:
				return silence
			}
		}})
		r.wantCounts(t, map[string]int{"closed rst": 44, "filtered silence": 3956})
		if most := slices.Max(r.attemptsByPort()); most > 4 { // one of them before the first answer of the address
			t.Errorf("got %d attempts at a port, want at most 4", most)
		}
	}
}

// TestLateAnswerDuringEvaluation scans hosts with one port that answers shortly after its
// timeout, at any position in the scan. A check for late answers that is made for another
// port must include this one, which must be reported as open.
func TestLateAnswerDuringEvaluation(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-300")
	spec.Rate = 200
	for slow := 0; slow < 300; slow += 7 {
		for delay := 155 * ms; delay <= 300*ms; delay += 29 * ms {
			r := simulate(t, simulation{spec: spec, seed: 1, network: func(a attemptInfo) attemptResult {
				switch {
				case a.index == slow:
					return open(delay)
				case a.index%50 == 25:
					return open(near)
				default:
					return silence
				}
			}})
			if p := r.results[slow]; p.State != scan.Open {
				t.Errorf("port %d, answer after %v: got %+v, want open", slow, delay, p)
			}
		}
	}
}
