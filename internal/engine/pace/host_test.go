// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestHostAnswers scans a host that answers each attempt at once, and requires one attempt
// per port, correct results and an end within 500 ms.
func TestHostAnswers(t *testing.T) {
	t.Parallel()
	for want, answer := range map[string]attemptResult{"closed rst": closed(near), "open handshake": open(near), "filtered icmp": rejected(near)} {
		r := simulate(t, simulation{spec: testSpec("1-65535"), seed: 5, network: always(answer)})
		r.wantCounts(t, map[string]int{want: 65535})
		r.wantDuration(t, 0, 500*ms)
		if k := r.attemptsByKind(); k[Short] != 65535 || k[Final]+k[Full] != 0 || k[Canary] > 65535/maxCanaryGap+20 {
			t.Errorf("%s: got attempts by kind %v, want 65535 short ones and few canaries", want, k)
		}
		// In such a short scan the number of attempts, not the time, makes canaries due.
		if k := r.attemptsByKind(); answer.cause == scan.CauseRST && k[Canary] < 100 {
			t.Errorf("got %d canaries, want at least 100", k[Canary])
		}
	}
}

// TestHostDrops scans a host with few open ports that drops all other attempts. It requires
// two attempts at each silent port, an end within 3 s and few canaries, since these connect
// to open ports.
func TestHostDrops(t *testing.T) {
	t.Parallel()
	for _, noLateDetection := range []bool{false, true} {
		r := simulate(t, simulation{
			spec: testSpec("1-20000"), seed: 6, noLateDetection: noLateDetection,
			network: some(1000, always(open(near)), always(silence)),
		})
		r.wantCounts(t, map[string]int{"open handshake": 20, "filtered silence": 19980})
		r.wantDuration(t, 950*ms, 4*time.Second)
		r.wantAttempts(t, 2, some(1000, always(open(near)), always(silence)))
		if k := r.attemptsByKind()[Canary]; k == 0 || k > 20 {
			t.Errorf("got %d checks of open ports, want 1 to 20: one each", k)
		}
	}
}

// TestHostDropsFewClosed scans a host with few closed ports that drops all other attempts.
func TestHostDropsFewClosed(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-5000"), network: some(100, always(closed(near)), always(silence))})
	r.wantCounts(t, map[string]int{"closed rst": 50, "filtered silence": 4950})
	r.wantDuration(t, 950*ms, 3*time.Second)
}

// TestHostSilent scans a host that never answers, and requires two attempts at each port,
// the second of which waits for the complete port_timeout, and at most darkRate attempts
// per second.
func TestHostSilent(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{1, 2, 5} {
		spec := testSpec("1-20000")
		spec.Retries = retries
		r := simulate(t, simulation{spec: spec, network: always(silence)})
		r.wantCounts(t, map[string]int{"filtered silence": 20000})
		r.checkRate(darkRate, len(r.attempts))
		if k := r.attemptsByKind(); k[Short] != 20000 || k[Final] != 20000 || len(r.attempts) != 40000 {
			t.Errorf("got attempts by kind %v, want 20000 short and 20000 final ones", k)
		}
		for _, attempt := range r.attempts {
			if attempt.Kind == Final && attempt.ended-attempt.sent < spec.PortTimeout {
				t.Fatalf("port %d: got a last attempt of %v, want at least %v", attempt.Index, attempt.ended-attempt.sent, spec.PortTimeout)
			}
		}
		for i, p := range r.results {
			if p.Attempts != 2 {
				t.Fatalf("port %d: got %d reported attempts, want 2", i, p.Attempts)
			}
		}
		for _, v := range r.violations {
			t.Error(v)
		}
	}
}

// TestHostFar scans a host with a round trip of 60 to 100 ms. It requires an end within 3 s,
// for which the window must grow beyond the size that a near host needs.
func TestHostFar(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{
		spec: testSpec("1-30000"), seed: 7,
		network: jitter(7, 20*ms, some(100, always(open(80*ms)), always(closed(80*ms)))),
	})
	r.wantCounts(t, map[string]int{"open handshake": 300, "closed rst": 29700})
	r.wantDuration(t, 0, 3*time.Second)
	if extra := len(r.attempts) - 30000; extra > 10000 {
		t.Errorf("got %d attempts more than ports, want at most 10000", extra)
	}
}

// TestHostRejects scans hosts that reject most attempts with ICMP errors, up to a rate
// limit. All rejected ports must be reported as filtered, with or without an error.
func TestHostRejects(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ perSecond, burst float64 }{{1, 6}, {10, 10}, {1000, 50}} {
		limit := rateLimited(tc.perSecond, tc.burst, always(rejected(near)))
		r := simulate(t, simulation{spec: testSpec("1-3000"), seed: 8, network: some(500, always(open(near)), limit)})
		got := r.counts()
		if got["open handshake"] != 6 || got["filtered icmp"]+got["filtered silence"] != 2994 || got["filtered icmp"] < int(tc.burst) {
			t.Errorf("%v errors per second: got %v, want 6 open ports and 2994 filtered, %v or more by ICMP", tc.perSecond, got, tc.burst)
		}
	}
	r := simulate(t, simulation{spec: testSpec("1-1000"), network: rateLimited(1, 6, always(rejected(near)))})
	if got := r.counts(); got["filtered icmp"] < 6 || got["filtered icmp"]+got["filtered silence"] != 1000 {
		t.Errorf("1 error per second, no open port: got %v, want 1000 filtered ports, 6 or more by ICMP", got)
	}
}

// TestHostStartsAnswering scans a host that is silent for the first 60 to 1200 ms. The ports
// that were tried in that time must be tried again, and reported as open and closed.
func TestHostStartsAnswering(t *testing.T) {
	t.Parallel()
	mixed := some(100, always(open(near)), always(closed(near)))
	for _, after := range []time.Duration{60 * ms, 300 * ms, 700 * ms, 1200 * ms} {
		for _, host := range []network{mixed, always(closed(near))} {
			spec := testSpec("1-8000")
			spec.Rate = 5000 // the last port is first tried after the host has started to answer
			r := simulate(t, simulation{spec: spec, seed: 9, network: between(0, after, always(silence), host)})
			if got := r.counts(); got["open handshake"]+got["closed rst"] != 8000 {
				t.Errorf("silent for %v: got %v, want 8000 open and closed ports", after, got)
			}
			r.wantDuration(t, after, 8*time.Second)
		}
	}
}

// TestHostStartsAnsweringNoLoss scans a host with silent ports that starts to answer after
// 320 ms. The silence before must not count as packet loss: a loss would require more
// attempts at the silent ports.
func TestHostStartsAnsweringNoLoss(t *testing.T) {
	t.Parallel()
	host := some(4, always(closed(30*ms)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-4000"), seed: 9, network: between(0, 320*ms, always(silence), host)})
	r.wantCounts(t, map[string]int{"closed rst": 1000, "filtered silence": 3000})
	if most := slices.Max(r.attemptsByPort()); most > 4 {
		t.Errorf("got %d attempts at a port, want at most 4: two before the first answer and two after", most)
	}
}

// TestNeighborResolvedLate simulates a kernel that queues the first three packets until the
// hardware address is resolved, and drops the others up to then. The ports of the dropped
// packets must not be reported as filtered, with or without retries.
func TestNeighborResolvedLate(t *testing.T) {
	t.Parallel()
	const resolved = 500 * ms
	for _, retries := range []int{0, 2} {
		spec := testSpec("1-3000")
		spec.Retries, spec.MaxRetries = retries, 5*retries
		r := simulate(t, simulation{spec: spec, seed: 19, network: func(a attemptInfo) attemptResult {
			switch {
			case a.now >= resolved:
				return closed(near)
			case a.total <= 3:
				return closed(resolved - a.now + near)
			default:
				return silence
			}
		}})
		r.wantCounts(t, map[string]int{"closed rst": 3000})
	}
}

// TestHostStartsAnsweringAtLastPorts scans a host that is silent until the first ports have
// had their last attempts, and then answers. Those ports must be tried again.
func TestHostStartsAnsweringAtLastPorts(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-50")
	spec.Rate = 30 // the first ports have had their last attempts when the last are tried
	r := simulate(t, simulation{spec: spec, network: between(0, 1600*ms, always(silence), always(closed(near)))})
	r.wantCounts(t, map[string]int{"closed rst": 50})
	if most := slices.Max(r.attemptsByPort()); most < 3 {
		t.Errorf("got at most %d attempts at a port, want 3 or more: the host answered too early for this test", most)
	}
}

// TestDeclaredPortsFirst requires that the ports that the owner declared as open or allowed
// are tried before all others, and that each attempt at them waits for the complete
// port_timeout.
func TestDeclaredPortsFirst(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2000")
	spec.Expect = &scan.Expectation{Open: testSpec("22,443,1999").Ports, Allow: testSpec("80").Ports}
	r := simulate(t, simulation{spec: spec, seed: 10, network: func(a attemptInfo) attemptResult {
		switch a.index {
		case 21, 442, 1998:
			return open(900 * ms) // after the timeout of an attempt at another port
		default:
			return closed(near)
		}
	}})
	first := slices.Sorted(slices.Values(r.firstTried()[:4]))
	if !slices.Equal(first, []int{21, 79, 442, 1998}) || !r.onlyPortsHave(scan.Open, 21, 442, 1998) {
		t.Errorf("got first ports %v and %d open ports, want [21 79 442 1998] and 3", first, r.counts()["open handshake"])
	}
	for i, n := range r.attemptsByPort() {
		if n != 1 {
			t.Errorf("port %d: got %d attempts, want 1", i, n)
		}
	}
	if slices.IsSorted(r.firstTried()[4:]) {
		t.Error("got the other ports in ascending order, want them shuffled")
	}
}

// TestHostNearStartsAnswering scans a host with a short round trip that is silent at first.
// No attempt from that time may count as lost: with few answers, a single loss would raise
// the estimate too much.
func TestHostNearStartsAnswering(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{100 * ms, 250 * ms, 320 * ms} {
		host := some(4, always(closed(near)), always(silence))
		r := simulate(t, simulation{spec: testSpec("1-4000"), seed: 9, network: between(0, after, always(silence), host)})
		r.wantCounts(t, map[string]int{"closed rst": 1000, "filtered silence": 3000})
		spec := testSpec("1-2000")
		spec.Retries, spec.MaxRetries = 0, 0
		spec.Rate = 5000 // the last port is first tried after the host has started to answer
		r = simulate(t, simulation{spec: spec, seed: 9, network: between(0, after, always(silence), always(closed(near)))})
		r.wantCounts(t, map[string]int{"closed rst": 2000})
		if t.Failed() {
			t.Fatalf("host was silent for %v", after)
		}
	}
}
