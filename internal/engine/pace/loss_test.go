// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// everyHundredth of the ports is open, and the others are closed.
func everyHundredth() network { return some(100, always(open(near)), always(closed(near))) }

// TestLoss loses a tenth of what is sent and a tenth of what comes back: many
// ports, and not one of them may be taken for filtered.
func TestLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		r := simulate(t, simulation{spec: testSpec("1-10000"), seed: uint32(seed), network: lossy(seed, 0.19, everyHundredth())})
		r.want(t, map[string]int{"open handshake": 100, "closed rst": 9900})
		r.within(t, 0, 8*time.Second)
		if made := len(r.flights); made > 16000 {
			t.Errorf("it took %d attempts, where 12500 do without waste", made)
		}
	}
}

// TestLossAmidSilence has ports that are dropped amid such losses: they take
// more attempts than usual, and are filtered all the same.
func TestLossAmidSilence(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-2000"), seed: 3, network: lossy(3, 0.19, some(4, everyHundredth(), always(silence)))})
	r.want(t, map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500})
	counts := r.perPort()
	for i, n := range counts {
		if i%4 != 0 && n < 1+r.spec.Retries {
			t.Errorf("port %d was believed silent after %d attempts, amid losses", i, n)
		}
	}
	if most := slices.Max(counts); most > 40 {
		t.Errorf("%d attempts were made at one port", most)
	}
}

// TestLossTakesRetries makes as many attempts as the module asks for where some
// are lost, even if fewer would have been proof enough.
func TestLossTakesRetries(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2000")
	spec.Retries = 10
	r := simulate(t, simulation{spec: spec, seed: 3, network: lossy(3, 0.1, some(4, everyHundredth(), always(silence)))})
	r.want(t, map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500})
	few := 0
	for i, n := range r.perPort() {
		if i%4 != 0 && n < 1+spec.Retries {
			few++
		}
	}
	if few > 100 { // the first of them, before a loss was seen
		t.Errorf("%d silent ports took fewer attempts than the module asks for", few)
	}
}

// TestHalfIsLost may leave ports unknown, and must not call them filtered.
func TestHalfIsLost(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		r := simulate(t, simulation{spec: testSpec("1-3000"), seed: uint32(seed), network: lossy(seed, 0.5, everyHundredth())})
		got := r.census()
		if got["filtered silence"] > 0 || got["closed rst"] < 2900 || got["open handshake"] < 29 {
			t.Errorf("seed %d: %v", seed, got)
		}
	}
}

// TestMostIsLost leaves ports unknown that were silent as often as the module
// allows, or for as long: that is no proof where so much is lost.
func TestMostIsLost(t *testing.T) {
	t.Parallel()
	gaveUp := 0
	for seed := range uint64(4) {
		r := simulate(t, simulation{spec: testSpec("1-600"), seed: uint32(seed), network: lossy(seed, 0.7, some(2, always(closed(near)), always(silence)))})
		got := r.census()
		if got["filtered silence"] > 0 || got["closed rst"] < 100 {
			t.Errorf("seed %d: %v, want most that refuse closed, and all others unknown", seed, got)
		}
		gaveUp += got["unknown unresponsive"]
	}
	if gaveUp == 0 {
		t.Error("no port was given up, whatever the number of its attempts")
	}
}

// TestBlackout loses everything for a while in mid-scan. Silence meanwhile means
// nothing: no port is filtered, and those asked once it is over are known.
func TestBlackout(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{30 * ms, 100 * ms, 250 * ms, 300 * ms, 500 * ms, 600 * ms, 900 * ms, 1300 * ms, 1700 * ms} {
		for _, dropping := range []bool{false, true} {
			spec := testSpec("1-2000")
			spec.Rate = 2000
			host, want := everyHundredth(), map[string]int{"open handshake": 20, "closed rst": 1980}
			if dropping {
				host, want = some(4, host, always(silence)), map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500}
			}
			r := simulate(t, simulation{spec: spec, seed: 4, network: between(300*ms, 300*ms+lasts, always(silence), host)})
			r.want(t, want)
			if t.Failed() {
				t.Fatalf("of a blackout of %v, dropping %v", lasts, dropping)
			}
		}
	}
}

// TestBan answers for a while and never again: what was not known by then is
// unknown, and it is soon given up.
func TestBan(t *testing.T) {
	t.Parallel()
	for _, after := range []int{5, 200, 900} {
		spec := testSpec("1-3000")
		spec.Rate = 3000
		r := simulate(t, simulation{spec: spec, seed: 5, network: func(q question) reply {
			if q.total > after {
				return silence
			}
			return closed(near)
		}})
		got := r.census()
		if known := got["closed rst"]; known+got["unknown unresponsive"] != 3000 || known < after-after/10-1 || known > after {
			t.Errorf("banned after %d attempts: %v", after, got)
		}
		r.within(t, goneAfter, 5*time.Second)
		for _, f := range r.flights[len(r.flights)-3:] {
			if f.Kind != Canary {
				t.Errorf("banned after %d attempts: port %d is tried at the very end", after, f.Index)
			}
		}
	}
}

// TestBannedForLess is unresponsive for the ports that are left alone: those that
// were known to be silent before the ban stay filtered.
func TestBannedForLess(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-4000")
	spec.Rate = 2000
	r := simulate(t, simulation{spec: spec, seed: 6, network: between(2*time.Second, time.Hour, always(silence), some(4, always(closed(near)), always(silence)))})
	got := r.census()
	if got["closed rst"] == 0 || got["filtered silence"] == 0 || got["unknown unresponsive"] == 0 {
		t.Errorf("a ban in mid-scan: %v, want some of each", got)
	}
	for i, p := range r.results {
		if i%4 == 0 && p.State == scan.Filtered {
			t.Errorf("port %d refuses, and is filtered", i)
		}
	}
}

// TestLimitedResets sends two hundred RSTs a second and no more: the scan has to
// slow down until each port has had its own.
func TestLimitedResets(t *testing.T) {
	t.Parallel()
	for seed := range uint32(3) {
		r := simulate(t, simulation{spec: testSpec("1-2000"), seed: seed, network: limited(200, 5, always(closed(near)))})
		r.want(t, map[string]int{"closed rst": 2000})
		if made := len(r.flights); made > 10000 {
			t.Errorf("it took %d attempts for 2000 ports", made)
		}
	}
}

// TestBlackoutRecovers goes on at full speed once all is well again.
func TestBlackoutRecovers(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{500 * ms, 600 * ms, 1000 * ms} {
		spec := testSpec("1-10000")
		spec.Rate = 5000
		r := simulate(t, simulation{spec: spec, network: between(300*ms, 300*ms+lasts, always(silence), always(closed(near)))})
		r.want(t, map[string]int{"closed rst": 10000})
		r.within(t, 2*time.Second, 8*time.Second)
	}
}
