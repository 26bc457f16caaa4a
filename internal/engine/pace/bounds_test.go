// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestOneInFlight makes one attempt after the other, whatever comes of them.
func TestOneInFlight(t *testing.T) {
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
		r.want(t, tc.want)
		if r.most != 1 {
			t.Errorf("%s: %d were in flight, want one", name, r.most)
		}
	}
}

// TestMaxInFlight lets as many wait as the module allows, and no more, where all
// are silent: the ceiling must be reached as well as kept.
func TestMaxInFlight(t *testing.T) {
	t.Parallel()
	for _, most := range []int{2, 15, 64, 300} {
		spec := testSpec("1-2000")
		spec.MaxInFlight = most
		r := simulate(t, simulation{spec: spec, until: 5 * time.Second, network: always(silence)})
		if r.most != most {
			t.Errorf("of at most %d, %d were in flight", most, r.most)
		}
	}
}

// TestRate takes as long as the ceiling asks for and hardly longer.
func TestRate(t *testing.T) {
	t.Parallel()
	for rate, ports := range map[int]string{100: "1-300", 1000: "1-3000", 4000: "1-12000"} {
		spec := testSpec(ports)
		spec.Rate = rate
		r := simulate(t, simulation{spec: spec, seed: 12, network: always(closed(near))})
		r.want(t, map[string]int{"closed rst": spec.Ports.Len()})
		r.within(t, 3*time.Second-20*ms, 3300*ms)
		if most := r.busiest(time.Second); most > rate+rate/100+1 {
			t.Errorf("%d attempts were made within a second, of at most %d", most, rate)
		}
	}
}

// TestNoRetries tries silent ports once, and listens the whole port_timeout.
func TestNoRetries(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-1000")
	spec.Retries, spec.MaxRetries = 0, 0
	for name, tc := range map[string]struct {
		network network
		want    map[string]int
	}{
		"dropping": {some(100, always(open(near)), always(silence)), map[string]int{"open handshake": 10, "filtered silence": 990}},
		"dark":     {always(silence), map[string]int{"filtered silence": 1000}},
		"slow":     {always(closed(900 * ms)), map[string]int{"closed rst": 1000}},
	} {
		r := simulate(t, simulation{spec: spec, seed: 13, deaf: true, network: tc.network})
		r.want(t, tc.want)
		r.wantAttempts(t, 1, tc.network)
		for _, f := range r.flights {
			if f.ending == endedSilent && f.Kind != Canary && f.ended-f.sent < spec.PortTimeout {
				t.Fatalf("%s: silence was believed after %v", name, f.ended-f.sent)
			}
		}
	}
}

// TestDeadline cuts scans off: what is known is kept, the rest is unknown for
// want of time, and nothing is made up.
func TestDeadline(t *testing.T) {
	t.Parallel()
	t.Run("slow pace", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-1000")
		spec.Rate = 100
		r := simulate(t, simulation{spec: spec, until: time.Second, network: always(closed(near))})
		known := r.census()["closed rst"]
		if !r.cut || known < 98 || known > 102 {
			t.Errorf("at 100 a second for one second: %v", r.census())
		}
		r.want(t, map[string]int{"closed rst": known, "unknown deadline": 1000 - known})
	})
	t.Run("dropping", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-10000")
		spec.Expect = &scan.Expectation{Open: scan.NewPortSet(7)}
		r := simulate(t, simulation{spec: spec, until: 250 * ms, network: func(q question) reply {
			if q.index == 6 {
				return open(near)
			}
			return silence
		}})
		r.want(t, map[string]int{"open handshake": 1, "unknown deadline": 9999})
	})
	t.Run("dark", func(t *testing.T) {
		t.Parallel()
		spec := testSpec("1-3000")
		spec.Rate = 2000
		// By then about a sixth have been silent twice.
		r := simulate(t, simulation{spec: spec, until: 1500 * ms, network: always(silence)})
		got := r.census()
		if got["filtered silence"] == 0 || got["unknown deadline"] == 0 || got["filtered silence"]+got["unknown deadline"] != 3000 {
			t.Errorf("cut off in the midst of a dark host: %v", got)
		}
		silent := make([]int, 3000)
		for _, f := range r.flights {
			if f.ending == endedSilent {
				silent[f.Index]++
			}
		}
		for i, p := range r.results {
			if (p.State == scan.Filtered) != (silent[i] >= 2) {
				t.Errorf("port %d was silent %d times and is %v", i, silent[i], p.State)
			}
		}
	})
}
