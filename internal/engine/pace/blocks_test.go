// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestOurOwnSideFails has every attempt fail for a while, or for good. What comes
// back is waited for; a way to the address is given up.
func TestOurOwnSideFails(t *testing.T) {
	t.Parallel()
	const forGood = time.Hour
	for _, tc := range []struct {
		cause       scan.Cause
		until       time.Duration
		want        string
		least, most time.Duration
	}{
		{scan.CauseDescriptors, time.Second, "closed rst", time.Second, 2 * time.Second},
		{scan.CauseDescriptors, 6 * time.Second, "closed rst", 6 * time.Second, 7 * time.Second},
		{scan.CauseDescriptors, forGood, "unknown descriptors", 8 * time.Second, 8 * time.Second},
		{scan.CauseSourcePorts, 6 * time.Second, "closed rst", 6 * time.Second, 7 * time.Second},
		{scan.CauseSourcePorts, forGood, "unknown source_ports", 8 * time.Second, 8 * time.Second},
		{scan.CauseNoRoute, time.Second, "closed rst", time.Second, 2 * time.Second},
		{scan.CauseNoRoute, forGood, "unknown no_route", patience, patience + 300*ms},
		{scan.CausePermission, forGood, "unknown permission", patience, patience + 300*ms},
		{scan.CauseInternal, forGood, "unknown internal", patience, patience + 300*ms},
	} {
		r := simulate(t, simulation{
			spec: testSpec("1-500"), seed: 14, until: 8 * time.Second,
			network: between(0, tc.until, always(lack(tc.cause)), always(closed(near))),
		})
		r.want(t, map[string]int{tc.want: 500})
		r.within(t, tc.least, tc.most)
		failed := 0
		for _, f := range r.flights {
			if f.ending == endedFailed {
				failed++
			}
		}
		if most := 10 + int(min(tc.until, r.took)/(100*ms)); failed > most {
			t.Errorf("%v until %v: %d attempts failed, want at most %d", tc.cause, tc.until, failed, most)
		}
	}
}

// TestStarvedInMidScan takes the descriptors away for some seconds while many
// attempts are on their way: nothing may be made of that but a delay, least of
// all that the address is gone.
func TestStarvedInMidScan(t *testing.T) {
	t.Parallel()
	const lasts = 4 * time.Second
	for _, cause := range []scan.Cause{scan.CauseDescriptors, scan.CauseSourcePorts} {
		for name, host := range map[string]network{
			"closed":   always(closed(near)),
			"dropping": some(50, always(open(near)), always(silence)),
		} {
			spec := testSpec("1-3000")
			spec.Rate = 3000
			r := simulate(t, simulation{spec: spec, seed: 15, network: between(400*ms, 400*ms+lasts, always(lack(cause)), host)})
			switch got := r.census(); {
			case name == "closed" && got["closed rst"] != 3000:
				t.Errorf("%v, %s: %v", cause, name, got)
			case name == "dropping" && (got["open handshake"] != 60 || got["filtered silence"] != 2940):
				t.Errorf("%v, %s: %v", cause, name, got)
			}
		}
	}
}

// TestForbiddenPort has our own side refuse some ports alone: that is what is
// said of them, and the others are as they are.
func TestForbiddenPort(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{near, 60 * ms} {
		spec := testSpec("1-2000")
		spec.Rate = 1000
		r := simulate(t, simulation{spec: spec, seed: 16, network: some(400, always(lack(scan.CausePermission)), always(closed(after)))})
		r.want(t, map[string]int{"unknown permission": 5, "closed rst": 1995})
		r.within(t, 0, 6*time.Second)
		for i, n := range r.perPort() {
			// Where others are always on their way, it is soon plain whose fault it is.
			if after > near && i%400 == 0 && n != mostFailures {
				t.Errorf("forbidden port %d was tried %d times amid others, want %d", i, n, mostFailures)
			}
		}
	}
}

// TestInterrupted gives up a third of all attempts at ports early: nothing is
// learnt of these ports by it, and they are tried again.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	interrupted := func(n network) network {
		return func(q question) reply {
			if q.nth%2 == 1 && q.index%3 == 0 && q.nth < 6 {
				return reply{interrupted: true, after: 10 * ms}
			}
			return n(q)
		}
	}
	r := simulate(t, simulation{spec: testSpec("1-3000"), seed: 17, network: interrupted(always(closed(near)))})
	r.want(t, map[string]int{"closed rst": 3000})
	r = simulate(t, simulation{spec: testSpec("1-3000"), seed: 17, network: interrupted(some(100, always(open(near)), always(silence)))})
	r.want(t, map[string]int{"open handshake": 30, "filtered silence": 2970})
	silent := make([]int, 3000)
	for _, f := range r.flights {
		if f.ending == endedSilent {
			silent[f.Index]++
		}
	}
	for i, n := range silent {
		if r.results[i].State == scan.Filtered && n < 2 {
			t.Errorf("port %d is filtered after %d silent attempts; those that were interrupted say nothing", i, n)
		}
	}
}

// TestInterruptedCanaries gives all canaries up early for a while: silence from
// that time is not proven to mean anything, and counts only once they are
// answered again.
func TestInterruptedCanaries(t *testing.T) {
	t.Parallel()
	n := some(10, always(closed(near)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-500"), seed: 18, network: func(q question) reply {
		if q.kind == Canary && q.now < time.Second {
			return reply{interrupted: true, after: ms}
		}
		return n(q)
	}})
	r.want(t, map[string]int{"closed rst": 50, "filtered silence": 450})
	proven := r.took
	for _, f := range r.flights {
		if f.Kind == Canary && f.ending == endedAnswered {
			proven = min(proven, f.sent)
		}
	}
	counted := make([]int, len(r.results))
	for _, f := range r.flights {
		if f.ending == endedSilent && f.sent >= proven {
			counted[f.Index]++
		}
	}
	for i, p := range r.results {
		if p.State == scan.Filtered && counted[i] < 2 {
			t.Errorf("port %d is filtered, and was silent %d times while canaries were answered", i, counted[i])
		}
	}
}

// TestStuckSaysWhy ends a scan while something is lacking: that is why nothing
// is known, not that time ran out.
func TestStuckSaysWhy(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-100"), until: time.Second, network: always(lack(scan.CauseNoRoute))})
	r.want(t, map[string]int{"unknown no_route": 100})
	r = simulate(t, simulation{spec: testSpec("1-100"), until: time.Second, network: func(q question) reply {
		if q.total <= 40 {
			return closed(near)
		}
		return lack(scan.CauseSourcePorts)
	}})
	r.want(t, map[string]int{"closed rst": 40, "unknown source_ports": 60})
}

// TestInterruptedCanariesAreNoBan gives canaries up early for seconds: that says
// nothing of the address.
func TestInterruptedCanariesAreNoBan(t *testing.T) {
	t.Parallel()
	n := some(100, always(closed(near)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-500"), seed: 3, network: func(q question) reply {
		if q.kind == Canary && q.now < 4*time.Second {
			return reply{interrupted: true, after: ms}
		}
		return n(q)
	}})
	r.want(t, map[string]int{"closed rst": 5, "filtered silence": 495})
}

// TestLacksThatAlternate have one cause after another keep attempts from being
// made: the way is given up all the same.
func TestLacksThatAlternate(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-100"), network: func(q question) reply {
		return lack([]scan.Cause{scan.CauseNoRoute, scan.CausePermission}[q.total%2])
	}})
	if got := r.census(); got["unknown no_route"]+got["unknown permission"] != 100 {
		t.Errorf("%v", got)
	}
	r.within(t, patience, patience+300*ms)
}
