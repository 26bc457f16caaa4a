// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// testPath makes a path whose reports are kept by index; a second report of a
// port is an error.
func testPath(tb testing.TB, spec scan.Spec, late bool) (*Path, map[int]scan.PortResult) {
	tb.Helper()
	plan := mustPlan(tb, spec)
	results := make(map[int]scan.PortResult)
	p, err := NewPath(Options{Plan: plan, Order: NewOrder(plan), Late: late, Report: func(index int, r scan.PortResult) {
		if _, twice := results[index]; twice {
			tb.Errorf("port %d is reported twice", index)
		}
		results[index] = r
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return p, results
}

// next makes an attempt, which must be allowed.
func next(tb testing.TB, p *Path, now time.Duration) Try {
	tb.Helper()
	p.Tick(now)
	t, ok := p.Next(now)
	if !ok {
		tb.Fatalf("no attempt may be made at %v", now)
	}
	return t
}

func TestNewPathRefuses(t *testing.T) {
	t.Parallel()
	plan := mustPlan(t, testSpec("1-10"))
	order, report := NewOrder(plan), func(int, scan.PortResult) {}
	for name, o := range map[string]Options{
		"nothing":   {},
		"no plan":   {Order: order, Report: report},
		"no order":  {Plan: plan, Report: report},
		"no report": {Plan: plan, Order: order},
		"lag < 0":   {Plan: plan, Order: order, Report: report, Lag: -1},
	} {
		if p, err := NewPath(o); err == nil || p != nil {
			t.Errorf("%s: %v, %v; want an error", name, p, err)
		}
	}
	if _, err := NewPath(Options{Plan: plan, Order: order, Report: report}); err != nil {
		t.Error(err)
	}
}

// TestHold has every kind listen for as long as it should, before and after the
// path is known.
func TestHold(t *testing.T) {
	t.Parallel()
	const most = 950 * ms
	for _, tc := range []struct {
		late          bool
		before, after [Kinds]time.Duration // Brief, Final, Patient, Canary
	}{
		{true, [Kinds]time.Duration{50 * ms, most, most, most}, [Kinds]time.Duration{50 * ms, 150 * ms, most, 150 * ms}},
		// Where nobody tells of late answers, the last wait has to be the whole.
		{false, [Kinds]time.Duration{50 * ms, most, most, most}, [Kinds]time.Duration{50 * ms, most, most, 150 * ms}},
	} {
		p, _ := testPath(t, testSpec("1-100"), tc.late)
		for k, want := range tc.before {
			if got := p.Hold(Kind(k)); got != want {
				t.Errorf("late %v: kind %d listens %v at first, want %v", tc.late, k, got, want)
			}
		}
		for i := range 3 {
			now := time.Duration(i) * ms
			p.Answered(now+ms, now, next(t, p, now), scan.Open, scan.CauseHandshake)
		}
		for k, want := range tc.after {
			if got := p.Hold(Kind(k)); got != want {
				t.Errorf("late %v: kind %d listens %v of a near host, want %v", tc.late, k, got, want)
			}
		}
	}
}

// TestKinds follows the kinds of a port's attempts: a short listen and a long
// one; all the patience there is for the ports that the owner named.
func TestKinds(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		retries     int
		expect      bool
		first, then Kind
	}{
		"any port":         {2, false, Brief, Final},
		"a declared port":  {2, true, Patient, Patient},
		"no retries":       {0, false, Final, Final},
		"that is declared": {0, true, Patient, Patient},
	} {
		spec := testSpec("7")
		spec.Retries = tc.retries
		if tc.expect {
			spec.Expect = &scan.Expectation{Open: spec.Ports}
		}
		p, _ := testPath(t, spec, true)
		try := next(t, p, 0)
		if try.Kind != tc.first {
			t.Errorf("%s: the first attempt is of kind %d, want %d", name, try.Kind, tc.first)
		}
		p.Silent(0, try)
		if try = next(t, p, time.Second); try.Kind != tc.then {
			t.Errorf("%s: the second attempt is of kind %d, want %d", name, try.Kind, tc.then)
		}
	}
}

// TestOnePort is a plan with a single port, whatever it does.
func TestOnePort(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network  network
		want     string
		attempts int
	}{
		"open":        {always(open(near)), "open handshake", 1},
		"closed":      {always(closed(near)), "closed rst", 1},
		"rejected":    {always(rejected(near)), "filtered icmp", 1},
		"silent":      {always(silence), "filtered silence", 2},
		"slow":        {always(open(900 * ms)), "open handshake", 2},
		"no way":      {always(lack(scan.CauseNoRoute)), "unknown no_route", 19},
		"second time": {func(q question) reply { return []reply{silence, closed(near)}[min(q.nth-1, 1)] }, "closed rst", 2},
	} {
		r := simulate(t, simulation{spec: testSpec("443"), network: tc.network})
		r.want(t, map[string]int{tc.want: 1})
		if got := r.results[0].Attempts; got != tc.attempts {
			t.Errorf("%s: it took %d attempts, want %d", name, got, tc.attempts)
		}
	}
}

// TestEnd cuts a scan off with some ports known, some on their way and most not
// reached.
func TestEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		cause, want scan.Cause
	}{{scan.CauseNone, scan.CauseDeadline}, {scan.CauseInternal, scan.CauseInternal}, {scan.CauseNoRoute, scan.CauseNoRoute}} {
		p, results := testPath(t, testSpec("1-100"), true)
		known := next(t, p, 0)
		p.Answered(ms, 0, known, scan.Open, scan.CauseHandshake)
		flying := []Try{next(t, p, ms), next(t, p, ms)}
		p.End(tc.cause)
		if !p.Done() {
			t.Error("it goes on after its end")
		}
		sum := 0
		for i := range 100 {
			r, ok := results[i]
			sum += r.Attempts
			switch {
			case !ok:
				t.Fatalf("port %d was not reported", i)
			case i == int(known.Index) && r.State != scan.Open:
				t.Errorf("what was known to be open became %+v", r)
			case i != int(known.Index) && (r.State != scan.Unknown || r.Cause != tc.want):
				t.Errorf("what was not known became %+v, want %v", r, tc.want)
			}
		}
		if sum != 3 {
			t.Errorf("%d attempts were reported, and three were made", sum)
		}
		if _, ok := p.Next(time.Second); ok {
			t.Error("an attempt may be made after the end")
		}
		// What comes now, and a second end, must report nothing again.
		p.Answered(2*ms, ms, flying[0], scan.Open, scan.CauseHandshake)
		p.Silent(ms, flying[1])
		p.Tick(time.Second)
		p.Late(time.Second, false)
		p.End(scan.CauseNone)
		p.End(scan.CauseInternal)
	}
}

// TestPlaceComesBack has attempts that were interrupted or failed give their
// places in the window back at once, whereas silent ones keep theirs for a while.
func TestPlaceComesBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(p *Path, sent time.Duration, try Try){
		"answered":    func(p *Path, sent time.Duration, try Try) { p.Answered(20*ms, sent, try, scan.Closed, scan.CauseRST) },
		"interrupted": func(p *Path, sent time.Duration, try Try) { p.Interrupted(20*ms, sent, try) },
		"silent":      func(p *Path, sent time.Duration, try Try) { p.Silent(sent, try) },
	} {
		p, _ := testPath(t, testSpec("1-1000"), true)
		tries := make([]Try, startWindow)
		for i := range tries {
			tries[i] = next(t, p, time.Duration(i)*ms)
		}
		if _, ok := p.Next(19 * ms); ok {
			t.Fatalf("more than %d attempts are made at the start", startWindow)
		}
		for i, try := range tries {
			end(p, time.Duration(i)*ms, try)
		}
		p.Tick(20 * ms)
		if _, ok := p.Next(20 * ms); ok != (name != "silent") {
			t.Errorf("%s: that another may be made is %v", name, ok)
		}
	}
}

// TestMissedCanaryNarrows the window: something on the way is overtaxed.
func TestMissedCanaryNarrows(t *testing.T) {
	t.Parallel()
	p, _ := testPath(t, testSpec("1-100"), true)
	p.Answered(ms, 0, next(t, p, 0), scan.Closed, scan.CauseRST)
	sent := time.Second
	try := next(t, p, sent)
	for ; try.Kind != Canary; try = next(t, p, sent) {
		sent += ms
	}
	p.window.size = 1000
	p.Silent(sent, try)
	p.Tick(sent + 500*ms)
	if p.window.size >= 1000 {
		t.Errorf("after a missed canary the window is %d, and was 1000", p.window.size)
	}
}

// TestFailedCanaries can't be made for seconds: nothing was heard of the address
// itself, which therefore is not gone.
func TestFailedCanaries(t *testing.T) {
	t.Parallel()
	p, results := testPath(t, testSpec("1-2"), true)
	p.Answered(ms, 0, next(t, p, 0), scan.Open, scan.CauseHandshake)
	failed := 0
	for now := 10 * ms; now < 6*time.Second; now += 10 * ms {
		p.Tick(now)
		switch try, ok := p.Next(now); {
		case ok && try.Kind == Canary:
			failed++
			p.Failed(now, now, try, scan.CauseDescriptors)
		case ok:
			p.Silent(now, try)
		}
	}
	if failed < 2*goneMisses {
		t.Fatalf("only %d canaries could not be made", failed)
	}
	for index, r := range results {
		if r.Cause == scan.CauseUnresponsive {
			t.Errorf("port %d is %v, %v though no canary ever left", index, r.State, r.Cause)
		}
	}
}

// TestEndOfNothing ends a scan before its first attempt.
func TestEndOfNothing(t *testing.T) {
	t.Parallel()
	p, results := testPath(t, testSpec("1-3"), true)
	p.End(scan.CauseNone)
	for i := range 3 {
		if r := results[i]; r != (scan.PortResult{Cause: scan.CauseDeadline}) {
			t.Errorf("port %d, of which nothing is known, is %+v", i, r)
		}
	}
}

// TestAnswersTwice has a port that was given up, and is tried again, answered
// only once in the reports.
func TestAnswersTwice(t *testing.T) {
	t.Parallel()
	p, results := testPath(t, testSpec("1-2"), true)
	try := next(t, p, 0)
	p.Answered(ms, 0, try, scan.Open, scan.CauseHandshake)
	p.Tick(ms)
	p.inFlight++ // whoever sends may tell of one attempt twice, which must not be reported so
	p.Answered(2*ms, 0, try, scan.Closed, scan.CauseRST)
	if r := results[int(try.Index)]; r.State != scan.Open || r.RTT != ms || r.Attempts != 1 {
		t.Errorf("it is %+v, want what came first", r)
	}
}
