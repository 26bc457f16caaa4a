// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestLocalErrors lets every attempt fail locally, for some seconds or until the end. The
// scan must wait for the end of temporary errors, and must stop after localErrorTimeout of
// other errors. In both cases it must make few attempts meanwhile.
func TestLocalErrors(t *testing.T) {
	t.Parallel()
	const forever = time.Hour
	for _, tc := range []struct {
		cause       scan.Cause
		until       time.Duration
		want        string
		least, most time.Duration
	}{
		{scan.CauseDescriptors, time.Second, "closed rst", time.Second, 2 * time.Second},
		{scan.CauseDescriptors, 6 * time.Second, "closed rst", 6 * time.Second, 7 * time.Second},
		{scan.CauseDescriptors, forever, "unknown descriptors", 8 * time.Second, 8 * time.Second},
		{scan.CauseSourcePorts, 6 * time.Second, "closed rst", 6 * time.Second, 7 * time.Second},
		{scan.CauseSourcePorts, forever, "unknown source_ports", 8 * time.Second, 8 * time.Second},
		{scan.CauseDeadline, 6 * time.Second, "closed rst", 6 * time.Second, 7 * time.Second},
		{scan.CauseDeadline, forever, "unknown deadline", 8 * time.Second, 8 * time.Second},
		{scan.CauseNoRoute, time.Second, "closed rst", time.Second, 2 * time.Second},
		{scan.CauseNoRoute, forever, "unknown no_route", localErrorTimeout, localErrorTimeout + 300*ms},
		{scan.CausePermission, forever, "unknown permission", localErrorTimeout, localErrorTimeout + 300*ms},
		{scan.CauseInternal, forever, "unknown internal", localErrorTimeout, localErrorTimeout + 300*ms},
	} {
		r := simulate(t, simulation{
			spec: testSpec("1-500"), seed: 14, until: 8 * time.Second,
			network: between(0, tc.until, always(localError(tc.cause)), always(closed(near))),
		})
		r.wantCounts(t, map[string]int{tc.want: 500})
		r.wantDuration(t, tc.least, tc.most)
		failed := 0
		for _, attempt := range r.attempts {
			if attempt.ending == endedFailed {
				failed++
			}
		}
		if most := 10 + int(min(tc.until, r.duration)/(100*ms)); failed > most {
			t.Errorf("%v until %v: got %d failed attempts, want at most %d", tc.cause, tc.until, failed, most)
		}
	}
}

// TestTemporaryLocalErrorMidScan lets all attempts fail for 4 s because of a temporary error
// while many are in flight. That may delay the scan, but must not change its results: in
// particular the address must not count as gone.
func TestTemporaryLocalErrorMidScan(t *testing.T) {
	t.Parallel()
	const lasts = 4 * time.Second
	for _, cause := range []scan.Cause{scan.CauseDescriptors, scan.CauseSourcePorts, scan.CauseDeadline} {
		for name, host := range map[string]network{
			"closed":   always(closed(near)),
			"dropping": some(50, always(open(near)), always(silence)),
		} {
			spec := testSpec("1-3000")
			spec.Rate = 3000
			r := simulate(t, simulation{spec: spec, seed: 15, network: between(400*ms, 400*ms+lasts, always(localError(cause)), host)})
			switch got := r.counts(); {
			case name == "closed" && got["closed rst"] != 3000:
				t.Errorf("%v, %s: got %v, want 3000 closed ports", cause, name, got)
			case name == "dropping" && (got["open handshake"] != 60 || got["filtered silence"] != 2940):
				t.Errorf("%v, %s: got %v, want 60 open and 2940 filtered ports", cause, name, got)
			}
		}
	}
}

// TestLocalErrorOfPort lets the attempts at five ports fail because of a missing permission.
// Only these ports must be reported as unknown because of it.
func TestLocalErrorOfPort(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{near, 60 * ms} {
		spec := testSpec("1-2000")
		spec.Rate = 1000
		r := simulate(t, simulation{spec: spec, seed: 16, network: some(400, always(localError(scan.CausePermission)), always(closed(after)))})
		r.wantCounts(t, map[string]int{"unknown permission": 5, "closed rst": 1995})
		r.wantDuration(t, 0, 6*time.Second)
		for i, n := range r.attemptsByPort() {
			// The slower host always has other attempts in flight, which limits the failures.
			if after > near && i%400 == 0 && n != maxFailures {
				t.Errorf("failing port %d: got %d attempts, want %d", i, n, maxFailures)
			}
		}
	}
}

// TestInterrupted interrupts the first, third and fifth attempt at a third of the ports.
// Interrupted attempts must be repeated, and must not count as silent ones.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	interrupted := func(n network) network {
		return func(a attemptInfo) attemptResult {
			if a.nth%2 == 1 && a.index%3 == 0 && a.nth < 6 {
				return attemptResult{interrupted: true, after: 10 * ms}
			}
			return n(a)
		}
	}
	r := simulate(t, simulation{spec: testSpec("1-3000"), seed: 17, network: interrupted(always(closed(near)))})
	r.wantCounts(t, map[string]int{"closed rst": 3000})
	r = simulate(t, simulation{spec: testSpec("1-3000"), seed: 17, network: interrupted(some(100, always(open(near)), always(silence)))})
	r.wantCounts(t, map[string]int{"open handshake": 30, "filtered silence": 2970})
	silent := make([]int, 3000)
	for _, attempt := range r.attempts {
		if attempt.ending == endedSilent {
			silent[attempt.Index]++
		}
	}
	for i, n := range silent {
		if r.results[i].State == scan.Filtered && n < 2 {
			t.Errorf("port %d: got filtered after %d silent attempts, want at least 2 that were not interrupted", i, n)
		}
	}
}

// TestInterruptedCanaries interrupts all canaries of the first second. Silent attempts from
// that time must not count, since no canary showed that the path worked.
func TestInterruptedCanaries(t *testing.T) {
	t.Parallel()
	n := some(10, always(closed(near)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-500"), seed: 18, network: func(a attemptInfo) attemptResult {
		if a.kind == Canary && a.now < time.Second {
			return attemptResult{interrupted: true, after: ms}
		}
		return n(a)
	}})
	r.wantCounts(t, map[string]int{"closed rst": 50, "filtered silence": 450})
	proven := r.duration
	for _, attempt := range r.attempts {
		if attempt.Kind == Canary && attempt.ending == endedAnswered {
			proven = min(proven, attempt.sent)
		}
	}
	counted := make([]int, len(r.results))
	for _, attempt := range r.attempts {
		if attempt.ending == endedSilent && attempt.sent >= proven {
			counted[attempt.Index]++
		}
	}
	for i, p := range r.results {
		if p.State == scan.Filtered && counted[i] < 2 {
			t.Errorf("port %d: got filtered after %d silent attempts while canaries were answered, want at least 2", i, counted[i])
		}
	}
}

// TestEndDuringLocalError ends a scan while attempts fail locally. The cause of the failures
// must be reported, not the deadline.
func TestEndDuringLocalError(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-100"), until: time.Second, network: always(localError(scan.CauseNoRoute))})
	r.wantCounts(t, map[string]int{"unknown no_route": 100})
	r = simulate(t, simulation{spec: testSpec("1-100"), until: time.Second, network: func(a attemptInfo) attemptResult {
		if a.total <= 40 {
			return closed(near)
		}
		return localError(scan.CauseSourcePorts)
	}})
	r.wantCounts(t, map[string]int{"closed rst": 40, "unknown source_ports": 60})
}

// TestInterruptedCanariesNotMissed interrupts all canaries for 4 s. They must not count as
// missed: the address would be reported as unresponsive.
func TestInterruptedCanariesNotMissed(t *testing.T) {
	t.Parallel()
	n := some(100, always(closed(near)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-500"), seed: 3, network: func(a attemptInfo) attemptResult {
		if a.kind == Canary && a.now < 4*time.Second {
			return attemptResult{interrupted: true, after: ms}
		}
		return n(a)
	}})
	r.wantCounts(t, map[string]int{"closed rst": 5, "filtered silence": 495})
}

// TestTemporaryErrorAtEnd ends a scan with no_route after a local error, and requires the
// local error as the cause if it is a lack of descriptors or local ports, or a missing
// permission: no packet was sent. A full send queue, however, has packets for a neighbor that does not resolve.
func TestTemporaryErrorAtEnd(t *testing.T) {
	t.Parallel()
	for failure, want := range map[scan.Cause]scan.Cause{
		scan.CauseSourcePorts: scan.CauseSourcePorts,
		scan.CauseDescriptors: scan.CauseDescriptors,
		scan.CauseDeadline:    scan.CauseNoRoute,
		scan.CausePermission:  scan.CausePermission,
	} {
		p, results := newTestPacer(t, testSpec("1-3"), true)
		p.Failed(0, 0, mustNext(t, p, 0), failure)
		p.End(scan.CauseNoRoute)
		for i, r := range results {
			if r.State != scan.Unknown || r.Cause != want {
				t.Errorf("after %v, port %d is %v (%v), want unknown (%v)", failure, i, r.State, r.Cause, want)
			}
		}
	}
}

// TestLocalErrorsAlternate lets attempts fail because of two causes by turns, and requires
// that the scan stops after localErrorTimeout as with a single cause.
func TestLocalErrorsAlternate(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-100"), network: func(a attemptInfo) attemptResult {
		return localError([]scan.Cause{scan.CauseNoRoute, scan.CausePermission}[a.total%2])
	}})
	if got := r.counts(); got["unknown no_route"]+got["unknown permission"] != 100 {
		t.Errorf("got %v, want 100 unknown ports because of no_route or permission", got)
	}
	r.wantDuration(t, localErrorTimeout, localErrorTimeout+300*ms)
}
