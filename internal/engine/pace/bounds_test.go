// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestMaxInFlightOne sets max_in_flight to 1, and requires that an attempt starts only when
// the previous one has ended, whether that was answered, silent or lost.
func TestMaxInFlightOne(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-60")
	spec.MaxInFlight = 1
	for name, tc := range map[string]struct {
		network network
		want    map[string]int
	}{
		"closed":   {always(closed(near)), map[string]int{"closed rst": 60}},
		"dropping": {some(20, always(open(near)), always(silence)), map[string]int{"open handshake": 3, "filtered silence": 57}},
		"resets":   {some(2, always(closed(near)), always(silence)), map[string]int{"closed rst": 30, "filtered silence": 30}},
		"lossy":    {lossy(1, 0.2, always(closed(near))), map[string]int{"closed rst": 60}},
	} {
		r := simulate(t, simulation{spec: spec, seed: 11, network: tc.network})
		r.wantCounts(t, tc.want)
		if r.maxInFlight != 1 {
			t.Errorf("%s: got %d attempts in flight, want 1", name, r.maxInFlight)
		}
	}
}

// TestMaxInFlightReached scans a silent host, and requires that the number of attempts in
// flight reaches max_in_flight and does not exceed it.
func TestMaxInFlightReached(t *testing.T) {
	t.Parallel()
	for _, most := range []int{2, 15, 64, 300} {
		spec := testSpec("1-2000")
		spec.MaxInFlight = most
		r := simulate(t, simulation{spec: spec, until: 5 * time.Second, network: always(silence)})
		if r.maxInFlight != most {
			t.Errorf("got %d attempts in flight, want %d", r.maxInFlight, most)
		}
	}
}

// TestRateLimitsScan scans a host that answers at once, with a rate limit. The scan must
// take as long as the rate requires and at most a tenth longer, and must not exceed the
// rate in any second.
func TestRateLimitsScan(t *testing.T) {
	t.Parallel()
	for rate, ports := range map[int]string{100: "1-300", 1000: "1-3000", 4000: "1-12000"} {
		spec := testSpec(ports)
		spec.Rate = rate
		r := simulate(t, simulation{spec: spec, seed: 12, network: always(closed(near))})
		r.wantCounts(t, map[string]int{"closed rst": spec.Ports.Len()})
		r.wantDuration(t, 3*time.Second-20*ms, 3300*ms)
		if got, most := r.maxAttemptsWithin(time.Second), rate+rate/100+1; got > most {
			t.Errorf("rate %d: got %d attempts within a second, want at most %d", rate, got, most)
		}
	}
}

// TestNoRetries disables retries, and requires that a silent port has one attempt, which
// waits for the complete port_timeout.
func TestNoRetries(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-1000")
	spec.Retries, spec.MaxRetries = 0, 0
	for name, tc := range map[string]struct {
		network network
		want    map[string]int
	}{
		"dropping": {some(100, always(open(near)), always(silence)), map[string]int{"open handshake": 10, "filtered silence": 990}},
		"silent":   {always(silence), map[string]int{"filtered silence": 1000}},
		"slow":     {always(closed(900 * ms)), map[string]int{"closed rst": 1000}},
	} {
		r := simulate(t, simulation{spec: spec, seed: 13, noLateDetection: true, network: tc.network})
		r.wantCounts(t, tc.want)
		r.wantAttempts(t, 1, tc.network)
		for _, attempt := range r.attempts {
			if attempt.ending == endedSilent && attempt.Kind != Canary && attempt.ended-attempt.sent < spec.PortTimeout {
				t.Fatalf("%s: got a silent attempt of %v, want at least %v", name, attempt.ended-attempt.sent, spec.PortTimeout)
			}
		}
	}
}

// TestDeadline stops scans before their end, and requires that results up to then are kept
// and that all other ports are unknown because of the deadline.
func TestDeadline(t *testing.T) {
	t.Parallel()
	t.Run("rate limit", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-1000")
		spec.Rate = 100
		r := simulate(t, simulation{spec: spec, until: time.Second, network: always(closed(near))})
		known := r.counts()["closed rst"]
		if !r.stopped || known < 98 || known > 102 {
			t.Errorf("got %v, want 98 to 102 closed ports and a scan that was stopped", r.counts())
		}
		r.wantCounts(t, map[string]int{"closed rst": known, "unknown deadline": 1000 - known})
	})
	t.Run("dropping", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-10000")
		spec.Expect = &scan.Expectation{Open: scan.NewPortSet(7)}
		r := simulate(t, simulation{spec: spec, until: 250 * ms, network: func(a attemptInfo) attemptResult {
			if a.index == 6 {
				return open(near)
			}
			return silence
		}})
		r.wantCounts(t, map[string]int{"open handshake": 1, "unknown deadline": 9999})
	})
	t.Run("silent", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-3000")
		spec.Rate = 2000
		// At the deadline about a sixth of the ports have been silent twice.
		r := simulate(t, simulation{spec: spec, until: 1500 * ms, network: always(silence)})
		got := r.counts()
		if got["filtered silence"] == 0 || got["unknown deadline"] == 0 || got["filtered silence"]+got["unknown deadline"] != 3000 {
			t.Errorf("got %v, want filtered and unknown ports, 3000 in total", got)
		}
		silent := make([]int, 3000)
		for _, attempt := range r.attempts {
			if attempt.ending == endedSilent {
				silent[attempt.Index]++
			}
		}
		for i, p := range r.results {
			if (p.State == scan.Filtered) != (silent[i] >= 2) {
				t.Errorf("port %d: got state %v after %d silent attempts, want filtered only after 2 or more", i, p.State, silent[i])
			}
		}
	})
}
