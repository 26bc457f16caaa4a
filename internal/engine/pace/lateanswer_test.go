// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestReceivesLate simulates an engine that receives late answers, and requires that each
// answer within port_timeout is reported, with its round trip, and that the scan ends within
// 2.5 s: it must not wait for retries.
func TestReceivesLate(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{near, 60 * ms, 140 * ms, 300 * ms, 600 * ms, 900 * ms} {
		for seed := range uint32(3) {
			r := simulate(t, simulation{spec: testSpec("1-4000"), seed: seed, receivesLate: true, network: func(a attemptInfo) attemptResult {
				switch {
				case a.index%500 == 77:
					return open(delay)
				case a.index%1000 == 0:
					return closed(near)
				default:
					return silence
				}
			}})
			r.wantCounts(t, map[string]int{"open handshake": 8, "closed rst": 4, "filtered silence": 3988})
			r.wantDuration(t, 950*ms, 2500*ms)
			for i, p := range r.results {
				if p.State == scan.Open && (p.RTT < delay-ms || p.RTT > delay+20*ms) {
					t.Errorf("port %d: got round trip %v, want %v", i, p.RTT, delay)
				}
			}
		}
	}
}

// TestReceivesLateCanary scans a host with ten closed ports that answer late and are then used
// for canaries, which is why late answers arrive during the complete scan. The silent ports
// must be reported as filtered nevertheless.
func TestReceivesLateCanary(t *testing.T) {
	t.Parallel()
	for seed := range uint32(20) {
		r := simulate(t, simulation{spec: testSpec("1-5000"), seed: seed, receivesLate: true, network: func(a attemptInfo) attemptResult {
			switch {
			case a.index%500 == 77:
				return closed(400 * ms)
			case a.index%2 == 0:
				return closed(near)
			default:
				return silence
			}
		}})
		r.wantCounts(t, map[string]int{"closed rst": 2510, "filtered silence": 2490})
	}
}

// TestReceivesLateHostSilent scans a host that never answers with an engine that receives
// late answers. It requires two attempts per port, at most darkRate attempts per second, and
// an end within 6.5 s.
func TestReceivesLateHostSilent(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-65535"), receivesLate: true, network: always(silence)})
	r.wantCounts(t, map[string]int{"filtered silence": 65535})
	r.checkRate(darkRate, len(r.attempts))
	r.wantDuration(t, 5*time.Second, 6500*ms)
	for i, n := range r.attemptsByPort() {
		if n != 2 {
			t.Fatalf("port %d: got %d attempts, want 2", i, n)
		}
	}
}

// TestReceivesLateNetworks scans hosts with loss, long round trips or a late start with an
// engine that receives late answers, and requires correct results within a time.
func TestReceivesLateNetworks(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network func() network
		within  time.Duration
		want    map[string]int
	}{
		"closed":                   {func() network { return always(closed(near)) }, 500 * ms, map[string]int{"closed rst": 10000}},
		"dropping":                 {func() network { return some(1000, always(open(near)), always(silence)) }, 2 * time.Second, map[string]int{"open handshake": 10, "filtered silence": 9990}},
		"far":                      {func() network { return jitter(7, 20*ms, some(100, always(open(80*ms)), always(closed(80*ms)))) }, 2 * time.Second, map[string]int{"open handshake": 100, "closed rst": 9900}},
		"farther":                  {func() network { return some(100, always(open(700*ms)), always(closed(700*ms))) }, 5 * time.Second, map[string]int{"open handshake": 100, "closed rst": 9900}},
		"starts answering":         {func() network { return between(0, 700*ms, always(silence), always(closed(near))) }, 3 * time.Second, map[string]int{"closed rst": 10000}},
		"lossy":                    {func() network { return lossy(3, .19, some(1000, always(open(near)), always(closed(near)))) }, 4 * time.Second, map[string]int{"open handshake": 10, "closed rst": 9990}},
		"lossy, some ports silent": {func() network { return lossy(4, .19, some(3, always(closed(near)), always(silence))) }, 12 * time.Second, map[string]int{"closed rst": 3334, "filtered silence": 6666}},
	} {
		for seed := range uint32(3) {
			t.Run(fmt.Sprint(name, seed), func(t *testing.T) {
				t.Parallel()
				r := simulate(t, simulation{spec: testSpec("1-10000"), seed: seed, receivesLate: true, network: tc.network()})
				r.wantCounts(t, tc.want)
				r.wantDuration(t, 0, tc.within)
			})
		}
	}
}

// TestReceivesLateDuplicate passes duplicates of late answers, and late answers of ports
// with a result, to the pacer. Each port must be reported once and not be tried again.
func TestReceivesLateDuplicate(t *testing.T) {
	t.Parallel()
	var results []scan.PortResult
	plan := mustPlan(t, testSpec("1-2"))
	p, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), ReceivesLate: true, Report: reportEach(plan, func(_ int, r scan.PortResult) { results = append(results, r) })})
	if err != nil {
		t.Fatal(err)
	}
	one := mustNext(t, p, 0)
	p.TimedOut(0, one)
	p.Tick(60 * ms)
	for range 3 {
		p.AnsweredLate(100*ms, int(one.Index), true, Answer{State: scan.Closed, Cause: scan.CauseRST})
	}
	if len(results) != 1 || results[0].State != scan.Closed || results[0].RTT < 92*ms || results[0].RTT > 100*ms {
		t.Errorf("three late answers after 100 ms: got %+v, want one closed port with a round trip of 92 to 100 ms", results)
	}
	other := mustNext(t, p, 110*ms)
	if other.Index == one.Index {
		t.Fatalf("got an attempt at port %d after its answer, want the other port", one.Index)
	}
	p.Answered(111*ms, 110*ms, other, Answer{State: scan.Open, Cause: scan.CauseHandshake})
	p.AnsweredLate(112*ms, int(other.Index), true, Answer{State: scan.Open, Cause: scan.CauseHandshake})
	if len(results) != 2 || !p.IsDone() {
		t.Errorf("got %+v, done %v, want 2 ports, done true", results, p.IsDone())
	}
}
