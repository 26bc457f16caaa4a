// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestHears has late answers heard themselves, as an engine does that needs no
// socket to listen: nothing is missed that comes within the port_timeout, and it
// takes less time than asking again.
func TestHears(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{near, 60 * ms, 140 * ms, 300 * ms, 600 * ms, 900 * ms} {
		for seed := range uint32(3) {
			r := simulate(t, simulation{spec: testSpec("1-4000"), seed: seed, hears: true, network: func(q question) reply {
				switch {
				case q.index%500 == 77:
					return open(delay)
				case q.index%1000 == 0:
					return closed(near)
				default:
					return silence
				}
			}})
			r.want(t, map[string]int{"open handshake": 8, "closed rst": 4, "filtered silence": 3988})
			r.within(t, 950*ms, 2500*ms)
			for i, p := range r.results {
				if p.State == scan.Open && (p.RTT < delay-ms || p.RTT > delay+20*ms) {
					t.Errorf("port %d answers after %v, and %v is reported", i, delay, p.RTT)
				}
			}
		}
	}
}

// TestHearsInTheDark has a host that answers nothing: two attempts a port, and the
// second is listened for as long as any.
func TestHearsInTheDark(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-65535"), hears: true, network: always(silence)})
	r.want(t, map[string]int{"filtered silence": 65535})
	r.checkRate(unknownRate, len(r.flights))
	r.within(t, 5*time.Second, 6500*ms)
	for i, n := range r.perPort() {
		if n != 2 {
			t.Fatalf("port %d took %d attempts, want 2", i, n)
		}
	}
}

// TestHearsOthers runs the other hosts of this package: loss, waking, distance.
func TestHearsOthers(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network func() network
		within  time.Duration
		want    map[string]int
	}{
		"answers":                    {func() network { return always(closed(near)) }, 500 * ms, map[string]int{"closed rst": 10000}},
		"drops":                      {func() network { return some(1000, always(open(near)), always(silence)) }, 2 * time.Second, map[string]int{"open handshake": 10, "filtered silence": 9990}},
		"far":                        {func() network { return spread(7, 20*ms, some(100, always(open(80*ms)), always(closed(80*ms)))) }, 2 * time.Second, map[string]int{"open handshake": 100, "closed rst": 9900}},
		"farther":                    {func() network { return some(100, always(open(700*ms)), always(closed(700*ms))) }, 5 * time.Second, map[string]int{"open handshake": 100, "closed rst": 9900}},
		"wakes":                      {func() network { return between(0, 700*ms, always(silence), always(closed(near))) }, 3 * time.Second, map[string]int{"closed rst": 10000}},
		"loses":                      {func() network { return lossy(3, .19, some(1000, always(open(near)), always(closed(near)))) }, 4 * time.Second, map[string]int{"open handshake": 10, "closed rst": 9990}},
		"loses, and some are silent": {func() network { return lossy(4, .19, some(3, always(closed(near)), always(silence))) }, 12 * time.Second, map[string]int{"closed rst": 3334, "filtered silence": 6666}},
	} {
		for seed := range uint32(3) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				t.Parallel()
				r := simulate(t, simulation{spec: testSpec("1-10000"), seed: seed, hears: true, network: tc.network()})
				r.want(t, tc.want)
				r.within(t, 0, tc.within)
			})
		}
	}
}

// TestHeardTwice has copies of late answers, and answers to ports that are
// reported: nothing is said twice.
func TestHeardTwice(t *testing.T) {
	t.Parallel()
	var results []scan.PortResult
	plan := mustPlan(t, testSpec("1-2"))
	p, err := NewPath(Options{Plan: plan, Order: NewOrder(plan), Hears: true, Report: func(_ int, r scan.PortResult) { results = append(results, r) }})
	if err != nil {
		t.Fatal(err)
	}
	one := next(t, p, 0)
	p.Silent(0, one)
	p.Tick(60 * ms)
	for range 3 {
		p.Heard(100*ms, int(one.Index), true, scan.Closed, scan.CauseRST)
	}
	if len(results) != 1 || results[0].State != scan.Closed || results[0].RTT < 92*ms || results[0].RTT > 100*ms {
		t.Errorf("heard three times after 100 ms: %+v", results)
	}
	other := next(t, p, 110*ms)
	if other.Index == one.Index {
		t.Fatal("a port is tried again that has been heard")
	}
	p.Answered(111*ms, 110*ms, other, scan.Open, scan.CauseHandshake)
	p.Heard(112*ms, int(other.Index), true, scan.Open, scan.CauseHandshake)
	if len(results) != 2 || !p.Done() {
		t.Errorf("in the end: %+v", results)
	}
}
