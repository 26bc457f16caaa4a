// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// newTestPacer returns a pacer and its results by index. A second result for a port fails the
// test.
func newTestPacer(tb testing.TB, spec scan.Spec, late bool) (*Pacer, map[int]scan.PortResult) {
	tb.Helper()
	plan := mustPlan(tb, spec)
	results := make(map[int]scan.PortResult)
	p, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), DetectsLate: late, Report: reportEach(plan, func(index int, r scan.PortResult) {
		if _, twice := results[index]; twice {
			tb.Errorf("port %d: got a second result %+v, want one", index, r)
		}
		results[index] = r
	})})
	if err != nil {
		tb.Fatal(err)
	}
	return p, results
}

// mustNext returns the next attempt, and fails the test if there is none.
func mustNext(tb testing.TB, p *Pacer, now time.Duration) Attempt {
	tb.Helper()
	p.Tick(now)
	t, ok := p.Next(now)
	if !ok {
		tb.Fatalf("Next(%v) returned no attempt", now)
	}
	return t
}

// TestNewPacerInvalidOptions requires an error for missing or invalid options.
func TestNewPacerInvalidOptions(t *testing.T) {
	t.Parallel()
	plan := mustPlan(t, testSpec("1-10"))
	order, report := NewOrder(plan), func(scan.PortResult) {}
	for name, o := range map[string]Options{
		"empty":     {},
		"no plan":   {Order: order, Report: report},
		"no order":  {Plan: plan, Report: report},
		"no report": {Plan: plan, Order: order},
		"lag < 0":   {Plan: plan, Order: order, Report: report, Lag: -1},
	} {
		if p, err := NewPacer(o); err == nil || p != nil {
			t.Errorf("%s: NewPacer() = %v, %v, want nil and an error", name, p, err)
		}
	}
	if _, err := NewPacer(Options{Plan: plan, Order: order, Report: report}); err != nil {
		t.Errorf("got error %v, want none", err)
	}
}

// TestTimeout compares the timeout of each kind of attempt before the first answer with
// that after three fast answers.
func TestTimeout(t *testing.T) {
	t.Parallel()
	const most = 950 * ms
	for _, tc := range []struct {
		late          bool
		before, after [Kinds]time.Duration // of Short, Final, Full, Retry and Canary
	}{
		{true, [Kinds]time.Duration{50 * ms, most, most, most, most}, [Kinds]time.Duration{50 * ms, 150 * ms, most, 150 * ms, 150 * ms}},
		// Without detection of late answers, the last attempt takes the complete port_timeout.
		{false, [Kinds]time.Duration{50 * ms, most, most, most, most}, [Kinds]time.Duration{50 * ms, most, most, 150 * ms, 150 * ms}},
	} {
		p, _ := newTestPacer(t, testSpec("1-100"), tc.late)
		for k, want := range tc.before {
			if got := p.Timeout(Kind(k)); got != want {
				t.Errorf("late %v, before answers: Timeout(%d) = %v, want %v", tc.late, k, got, want)
			}
		}
		for i := range 3 {
			now := time.Duration(i) * ms
			p.Answered(now+ms, now, mustNext(t, p, now), Answer{State: scan.Open, Cause: scan.CauseHandshake})
		}
		for k, want := range tc.after {
			if got := p.Timeout(Kind(k)); got != want {
				t.Errorf("late %v, after answers: Timeout(%d) = %v, want %v", tc.late, k, got, want)
			}
		}
	}
}

// TestAttemptKinds compares the kinds of the first and second attempt at a port: short and
// final by default, final without retries, and full at declared ports.
func TestAttemptKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		retries     int
		expect      bool
		first, then Kind
	}{
		"default":              {2, false, Short, Final},
		"declared":             {2, true, Full, Full},
		"no retries":           {0, false, Final, Final},
		"no retries, declared": {0, true, Full, Full},
	} {
		spec := testSpec("7")
		spec.Retries = tc.retries
		if tc.expect {
			spec.Expect = &scan.Expectation{Open: spec.Ports}
		}
		p, _ := newTestPacer(t, spec, true)
		attempt := mustNext(t, p, 0)
		if attempt.Kind != tc.first {
			t.Errorf("%s: got first attempt of kind %d, want %d", name, attempt.Kind, tc.first)
		}
		p.TimedOut(0, attempt)
		if attempt = mustNext(t, p, time.Second); attempt.Kind != tc.then {
			t.Errorf("%s: got second attempt of kind %d, want %d", name, attempt.Kind, tc.then)
		}
	}
}

// TestSinglePort scans plans with a single port, and compares the result and the number of
// attempts.
func TestSinglePort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network  network
		want     string
		attempts int
	}{
		"open":                    {always(open(near)), "open handshake", 1},
		"closed":                  {always(closed(near)), "closed rst", 1},
		"rejected":                {always(rejected(near)), "filtered icmp", 1},
		"silent":                  {always(silence), "filtered silence", 2},
		"slow":                    {always(open(900 * ms)), "open handshake", 2},
		"no route":                {always(localError(scan.CauseNoRoute)), "unknown no_route", 0},
		"first attempt is silent": {func(a attemptInfo) attemptResult { return []attemptResult{silence, closed(near)}[min(a.nth-1, 1)] }, "closed rst", 2},
	} {
		r := simulate(t, simulation{spec: testSpec("443"), network: tc.network})
		r.wantCounts(t, map[string]int{tc.want: 1})
		if got := r.results[0].Attempts; got != tc.attempts {
			t.Errorf("%s: got %d attempts, want %d", name, got, tc.attempts)
		}
	}
}

// TestEnd ends a scan with one port answered, two in flight and the others not tried. It
// requires that the answer is kept, that all other ports are unknown because of the cause,
// and that no port is reported afterwards.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cause, want scan.Cause
	}{{scan.CauseNone, scan.CauseDeadline}, {scan.CauseInternal, scan.CauseInternal}, {scan.CauseNoRoute, scan.CauseNoRoute}} {
		p, results := newTestPacer(t, testSpec("1-100"), true)
		first := mustNext(t, p, 0)
		p.Answered(ms, 0, first, Answer{State: scan.Open, Cause: scan.CauseHandshake})
		inFlight := []Attempt{mustNext(t, p, ms), mustNext(t, p, ms)}
		p.End(tc.cause)
		if !p.IsDone() {
			t.Error("IsDone() = false after End, want true")
		}
		sum := 0
		for i := range 100 {
			r, ok := results[i]
			sum += r.Attempts
			switch {
			case !ok:
				t.Fatalf("port %d: got no result, want one", i)
			case i == int(first.Index) && r.State != scan.Open:
				t.Errorf("answered port %d: got %+v, want open", i, r)
			case i != int(first.Index) && (r.State != scan.Unknown || r.Cause != tc.want):
				t.Errorf("port %d: got %+v, want unknown, %v", i, r, tc.want)
			}
		}
		if sum != 3 {
			t.Errorf("got %d reported attempts, want 3", sum)
		}
		if attempt, ok := p.Next(time.Second); ok {
			t.Errorf("got attempt %+v after End, want none", attempt)
		}
		// A second result for a port fails the test: see newTestPacer.
		p.Answered(2*ms, ms, inFlight[0], Answer{State: scan.Open, Cause: scan.CauseHandshake})
		p.TimedOut(ms, inFlight[1])
		p.Tick(time.Second)
		p.LateChecked(time.Second, false)
		p.End(scan.CauseNone)
		p.End(scan.CauseInternal)
	}
}

// TestWindowFreed fills the window, and requires that another attempt is allowed at once
// after answered and interrupted attempts, but not after silent ones.
func TestWindowFreed(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *Pacer, sent time.Duration, attempt Attempt){
		"answered": func(p *Pacer, sent time.Duration, attempt Attempt) {
			p.Answered(20*ms, sent, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
		},
		"interrupted": func(p *Pacer, sent time.Duration, attempt Attempt) { p.Interrupted(20*ms, sent, attempt) },
		"silent":      func(p *Pacer, sent time.Duration, attempt Attempt) { p.TimedOut(sent, attempt) },
	} {
		p, _ := newTestPacer(t, testSpec("1-1000"), true)
		attempts := make([]Attempt, startWindow)
		for i := range attempts {
			attempts[i] = mustNext(t, p, time.Duration(i)*ms)
		}
		if _, ok := p.Next(19 * ms); ok {
			t.Fatalf("got more than %d attempts at the start", startWindow)
		}
		for i, attempt := range attempts {
			end(p, time.Duration(i)*ms, attempt)
		}
		p.Tick(20 * ms)
		if _, ok := p.Next(20 * ms); ok != (name != "silent") {
			t.Errorf("%s: got another attempt %v, want %v", name, ok, name != "silent")
		}
	}
}

// TestMissedCanaryShrinksWindow requires that the window is smaller after a missed canary,
// which is a sign of congestion.
func TestMissedCanaryShrinksWindow(t *testing.T) {
	t.Parallel()
	p, _ := newTestPacer(t, testSpec("1-100"), true)
	p.Answered(ms, 0, mustNext(t, p, 0), Answer{State: scan.Closed, Cause: scan.CauseRST})
	sent := time.Second
	attempt := mustNext(t, p, sent)
	for ; attempt.Kind != Canary; attempt = mustNext(t, p, sent) {
		sent += ms
	}
	p.window.size = 1000
	p.TimedOut(sent, attempt)
	p.Tick(sent + 500*ms)
	if p.window.size >= 1000 {
		t.Errorf("got window size %d, want below 1000", p.window.size)
	}
}

// TestFailedCanariesNotMissed lets all canaries fail locally for 6 s. They must not count as
// missed: the address would be reported as unresponsive.
func TestFailedCanariesNotMissed(t *testing.T) {
	t.Parallel()
	p, results := newTestPacer(t, testSpec("1-2"), true)
	p.Answered(ms, 0, mustNext(t, p, 0), Answer{State: scan.Closed, Cause: scan.CauseRST})
	failed := 0
	for now := 10 * ms; now < 6*time.Second; now += 10 * ms {
		p.Tick(now)
		switch attempt, ok := p.Next(now); {
		case ok && attempt.Kind == Canary:
			failed++
			p.Failed(now, now, attempt, scan.CauseDescriptors)
		case ok:
			p.TimedOut(now, attempt)
		}
	}
	if failed < 2*goneMisses {
		t.Fatalf("got %d failed canaries, want at least %d", failed, 2*goneMisses)
	}
	for index, r := range results {
		if r.Cause == scan.CauseUnresponsive {
			t.Errorf("port %d: got %v, %v, want another cause", index, r.State, r.Cause)
		}
	}
}

// TestEndBeforeFirstAttempt ends a scan before its first attempt, and requires that all
// ports are unknown because of the deadline.
func TestEndBeforeFirstAttempt(t *testing.T) {
	t.Parallel()
	p, results := newTestPacer(t, testSpec("1-3"), true)
	p.End(scan.CauseNone)
	for i := range 3 {
		want := scan.PortResult{Port: uint16(i + 1), Cause: scan.CauseDeadline}
		if got := results[i]; got != want {
			t.Errorf("port %d: got %+v, want %+v", i, got, want)
		}
	}
}

// TestAnsweredTwice passes two answers to one attempt, and requires that only the first is
// reported.
func TestAnsweredTwice(t *testing.T) {
	t.Parallel()
	p, results := newTestPacer(t, testSpec("1-2"), true)
	attempt := mustNext(t, p, 0)
	p.Answered(ms, 0, attempt, Answer{State: scan.Open, Cause: scan.CauseHandshake})
	p.Tick(ms)
	p.inFlight++ // Answered subtracts the attempt a second time
	p.Answered(2*ms, 0, attempt, Answer{State: scan.Closed, Cause: scan.CauseRST})
	if r := results[int(attempt.Index)]; r.State != scan.Open || r.RTT != ms || r.Attempts != 1 {
		t.Errorf("got %+v, want open with a round trip of %v and 1 attempt", r, ms)
	}
}
