// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// mostlyClosed returns a host with one open port in 100; the others are closed.
func mostlyClosed() network { return some(100, always(open(near)), always(closed(near))) }

// TestLoss scans a host that answers each attempt, with a loss of 10 % in each direction. No
// port may be reported as filtered.
func TestLoss(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		r := simulate(t, simulation{spec: testSpec("1-10000"), seed: uint32(seed), network: lossy(seed, 0.19, mostlyClosed())})
		r.wantCounts(t, map[string]int{"open handshake": 100, "closed rst": 9900})
		r.wantDuration(t, 0, 8*time.Second)
		if made := len(r.attempts); made > 16000 {
			t.Errorf("seed %d: got %d attempts, want at most 16000", seed, made)
		}
	}
}

// TestLossWithSilentPorts scans a host with silent ports, with a loss of 10 % in each
// direction. Silent ports must be reported as filtered, after more attempts than without
// loss.
func TestLossWithSilentPorts(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-2000"), seed: 3, network: lossy(3, 0.19, some(4, mostlyClosed(), always(silence)))})
	r.wantCounts(t, map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500})
	counts := r.attemptsByPort()
	for i, n := range counts {
		if i%4 != 0 && n < 1+r.spec.Retries {
			t.Errorf("port %d: got filtered after %d attempts, want at least %d", i, n, 1+r.spec.Retries)
		}
	}
	if most := slices.Max(counts); most > 40 {
		t.Errorf("got %d attempts at a port, want at most 40", most)
	}
}

// TestLossRequiresRetries sets 10 retries, with a loss of 10 %. Silent ports must have all
// 11 attempts, even if the evidence from fewer attempts would be sufficient.
func TestLossRequiresRetries(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2000")
	spec.Retries = 10
	r := simulate(t, simulation{spec: spec, seed: 3, network: lossy(3, 0.1, some(4, mostlyClosed(), always(silence)))})
	r.wantCounts(t, map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500})
	few := 0
	for i, n := range r.attemptsByPort() {
		if i%4 != 0 && n < 1+spec.Retries {
			few++
		}
	}
	if few > 100 { // ports that were tried before the first loss was detected
		t.Errorf("got %d silent ports with fewer than %d attempts, want at most 100", few, 1+spec.Retries)
	}
}

// TestLossOfHalf scans a host that answers each attempt, with a loss of 50 %. A few ports
// may be unknown, but none may be filtered.
func TestLossOfHalf(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		r := simulate(t, simulation{spec: testSpec("1-3000"), seed: uint32(seed), network: lossy(seed, 0.5, mostlyClosed())})
		got := r.counts()
		if got["filtered silence"] > 0 || got["closed rst"] < 2900 || got["open handshake"] < 29 {
			t.Errorf("seed %d: got %v, want at least 2900 closed, at least 29 open and no filtered ports", seed, got)
		}
	}
}

// TestLossOfMost scans a host with silent ports, with a loss of 70 %. Silence is no evidence
// with such a loss: ports must be unknown after max_retries or at the deadline.
func TestLossOfMost(t *testing.T) {
	t.Parallel()
	unresponsive := 0
	for seed := range uint64(4) {
		r := simulate(t, simulation{spec: testSpec("1-600"), seed: uint32(seed), network: lossy(seed, 0.7, some(2, always(closed(near)), always(silence)))})
		got := r.counts()
		if got["filtered silence"] > 0 || got["closed rst"] < 100 {
			t.Errorf("seed %d: got %v, want at least 100 closed ports and no filtered ones", seed, got)
		}
		unresponsive += got["unknown unresponsive"]
	}
	if unresponsive == 0 {
		t.Error("got no unresponsive port, want at least one after max_retries")
	}
}

// TestBlackout loses all packets for 30 to 1700 ms in mid-scan. The ports that were tried in
// that time must be tried again, and reported as without the interruption.
func TestBlackout(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{30 * ms, 100 * ms, 250 * ms, 300 * ms, 500 * ms, 600 * ms, 900 * ms, 1300 * ms, 1700 * ms} {
		for _, dropping := range []bool{false, true} {
			spec := testSpec("1-2000")
			spec.Rate = 2000
			host, want := mostlyClosed(), map[string]int{"open handshake": 20, "closed rst": 1980}
			if dropping {
				host, want = some(4, host, always(silence)), map[string]int{"open handshake": 20, "closed rst": 480, "filtered silence": 1500}
			}
			r := simulate(t, simulation{spec: spec, seed: 4, network: between(300*ms, 300*ms+lasts, always(silence), host)})
			r.wantCounts(t, want)
			if t.Failed() {
				t.Fatalf("all packets lost for %v, silent ports %v", lasts, dropping)
			}
		}
	}
}

// TestBan scans a host that blocks the scanner after a number of attempts. The ports without
// an answer up to then must be unknown, and the scan must end within 5 s, without attempts
// at further ports in the end.
func TestBan(t *testing.T) {
	t.Parallel()
	for _, after := range []int{5, 200, 900} {
		spec := testSpec("1-3000")
		spec.Rate = 3000
		r := simulate(t, simulation{spec: spec, seed: 5, network: func(a attemptInfo) attemptResult {
			if a.total > after {
				return silence
			}
			return closed(near)
		}})
		got := r.counts()
		if known := got["closed rst"]; known+got["unknown unresponsive"] != 3000 || known < after-after/10-1 || known > after {
			t.Errorf("banned after %d attempts: got %v, want about as many closed ports and the others unresponsive", after, got)
		}
		r.wantDuration(t, goneAfter, 5*time.Second)
		for _, attempt := range r.attempts[len(r.attempts)-3:] {
			if attempt.Kind != Canary {
				t.Errorf("banned after %d attempts: got an attempt at port %d in the end, want only canaries", after, attempt.Index)
			}
		}
	}
}

// TestBanKeepsResults scans a host with silent ports that blocks the scanner after 2 s. The
// ports that were filtered before must stay so, and only the others are unresponsive.
func TestBanKeepsResults(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-4000")
	spec.Rate = 2000
	r := simulate(t, simulation{spec: spec, seed: 6, network: between(2*time.Second, time.Hour, always(silence), some(4, always(closed(near)), always(silence)))})
	got := r.counts()
	if got["closed rst"] == 0 || got["filtered silence"] == 0 || got["unknown unresponsive"] == 0 {
		t.Errorf("got %v, want closed, filtered and unresponsive ports", got)
	}
	for i, p := range r.results {
		if i%4 == 0 && p.State == scan.Filtered {
			t.Errorf("port %d: got filtered, want closed or unknown", i)
		}
	}
}

// TestRateLimitedResets scans a host that sends at most 200 RSTs per second. All ports must
// be reported as closed, with at most five attempts per port on average.
func TestRateLimitedResets(t *testing.T) {
	t.Parallel()
	for seed := range uint32(3) {
		r := simulate(t, simulation{spec: testSpec("1-2000"), seed: seed, network: rateLimited(200, 5, always(closed(near)))})
		r.wantCounts(t, map[string]int{"closed rst": 2000})
		if made := len(r.attempts); made > 10000 {
			t.Errorf("seed %d: got %d attempts for 2000 ports, want at most 10000", seed, made)
		}
	}
}

// TestBlackoutSpeedRestored loses all packets for up to a second in mid-scan, and requires
// that the scan is fast again afterwards: it must end within 8 s.
func TestBlackoutSpeedRestored(t *testing.T) {
	t.Parallel()
	for _, lasts := range []time.Duration{500 * ms, 600 * ms, 1000 * ms} {
		spec := testSpec("1-10000")
		spec.Rate = 5000
		r := simulate(t, simulation{spec: spec, network: between(300*ms, 300*ms+lasts, always(silence), always(closed(near)))})
		r.wantCounts(t, map[string]int{"closed rst": 10000})
		r.wantDuration(t, 2*time.Second, 8*time.Second)
	}
}
