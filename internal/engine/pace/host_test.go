// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestHostThatAnswers answers everything at once: one attempt a port, nothing
// wrong, and no time lost.
func TestHostThatAnswers(t *testing.T) {
	t.Parallel()
	for want, answer := range map[string]reply{"closed rst": closed(near), "open handshake": open(near), "filtered icmp": rejected(near)} {
		r := simulate(t, simulation{spec: testSpec("1-65535"), seed: 5, network: always(answer)})
		r.want(t, map[string]int{want: 65535})
		r.within(t, 0, 500*ms)
		if k := r.kinds(); k[Brief] != 65535 || k[Final]+k[Patient] != 0 || k[Canary] > 65535/canaryStride+20 {
			t.Errorf("%s: attempts by kind are %v", want, k)
		}
		// So many attempts go in so short a time that canaries go by their number.
		if k := r.kinds(); answer.cause == scan.CauseRST && k[Canary] < 100 {
			t.Errorf("%d canaries went with 65535 attempts", k[Canary])
		}
	}
}

// TestHostThatDrops is silent but for a few open ports: each silent port takes
// two attempts, and all of them about two waits of the longer kind.
func TestHostThatDrops(t *testing.T) {
	t.Parallel()
	for _, deaf := range []bool{false, true} {
		r := simulate(t, simulation{
			spec: testSpec("1-20000"), seed: 6, deaf: deaf,
			network: some(1000, always(open(near)), always(silence)),
		})
		r.want(t, map[string]int{"open handshake": 20, "filtered silence": 19980})
		r.within(t, 950*ms, 3*time.Second)
		r.wantAttempts(t, 2, some(1000, always(open(near)), always(silence)))
		if k := r.kinds()[Canary]; k == 0 || k > int(r.took/openCanaryEvery)+1 {
			t.Errorf("%d canaries went to open ports in %v", k, r.took)
		}
	}
}

// TestHostThatDropsResets is the same with ports that refuse amid the silence.
func TestHostThatDropsResets(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-5000"), network: some(100, always(closed(near)), always(silence))})
	r.want(t, map[string]int{"closed rst": 50, "filtered silence": 4950})
	r.within(t, 950*ms, 3*time.Second)
}

// TestDarkHost answers nothing at all: each port is tried twice, the second time
// with the whole port_timeout, and no faster than a firewall's table may fill.
func TestDarkHost(t *testing.T) {
	t.Parallel()
	for _, retries := range []int{1, 2, 5} {
		spec := testSpec("1-20000")
		spec.Retries = retries
		r := simulate(t, simulation{spec: spec, network: always(silence)})
		r.want(t, map[string]int{"filtered silence": 20000})
		r.checkRate(unknownRate, len(r.flights))
		if k := r.kinds(); k[Brief] != 20000 || k[Final] != 20000 || len(r.flights) != 40000 {
			t.Errorf("attempts by kind are %v, want 20000 short ones and as many long ones", k)
		}
		for _, f := range r.flights {
			if f.Kind == Final && f.ended-f.sent < spec.PortTimeout {
				t.Fatalf("the last attempt at port %d listened %v", f.Index, f.ended-f.sent)
			}
		}
		for i, p := range r.results {
			if p.Attempts != 2 {
				t.Fatalf("%d attempts are reported of port %d, and two were made", p.Attempts, i)
			}
		}
		for _, f := range r.faults {
			t.Error(f)
		}
	}
}

// TestFarHost answers after 80 ms, more or less: the window has to grow beyond
// what a near host needs, or it would take as many times longer.
func TestFarHost(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{
		spec: testSpec("1-30000"), seed: 7,
		network: spread(7, 20*ms, some(100, always(open(80*ms)), always(closed(80*ms)))),
	})
	r.want(t, map[string]int{"open handshake": 300, "closed rst": 29700})
	r.within(t, 0, 3*time.Second)
	if extra := len(r.flights) - 30000; extra > 10000 {
		t.Errorf("%d attempts were made twice, though every one is answered", extra)
	}
}

// TestRejectingHost refuses most ports with ICMP errors, as many of them as it
// may: those that it still answers show that it is there.
func TestRejectingHost(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ perSecond, burst float64 }{{1, 6}, {10, 10}, {1000, 50}} {
		limit := limited(tc.perSecond, tc.burst, always(rejected(near)))
		r := simulate(t, simulation{spec: testSpec("1-3000"), seed: 8, network: some(500, always(open(near)), limit)})
		got := r.census()
		if got["open handshake"] != 6 || got["filtered icmp"]+got["filtered silence"] != 2994 || got["filtered icmp"] < int(tc.burst) {
			t.Errorf("%v errors a second: %v", tc.perSecond, got)
		}
	}
	r := simulate(t, simulation{spec: testSpec("1-1000"), network: limited(1, 6, always(rejected(near)))})
	if got := r.census(); got["filtered icmp"] < 6 || got["filtered icmp"]+got["filtered silence"] != 1000 {
		t.Errorf("one error a second and nothing else: %v", got)
	}
}

// TestHostThatWakes is dark at first: what was silent then has to be examined
// again, and all of it is found.
func TestHostThatWakes(t *testing.T) {
	t.Parallel()
	awake := some(100, always(open(near)), always(closed(near)))
	for _, after := range []time.Duration{60 * ms, 300 * ms, 700 * ms, 1200 * ms} {
		for _, first := range []network{awake, always(closed(near))} {
			spec := testSpec("1-8000")
			spec.Rate = 5000 // so that the last port is first tried when the host has woken
			r := simulate(t, simulation{spec: spec, seed: 9, network: between(0, after, always(silence), first)})
			if got := r.census(); got["open handshake"]+got["closed rst"] != 8000 {
				t.Errorf("awake after %v: %v", after, got)
			}
			r.within(t, after, 8*time.Second)
		}
	}
}

// TestWakingIsNoLoss has silent ports on a host that wakes: that the others were
// silent before does not look like loss, which would take more attempts.
func TestWakingIsNoLoss(t *testing.T) {
	t.Parallel()
	host := some(4, always(closed(30*ms)), always(silence))
	r := simulate(t, simulation{spec: testSpec("1-4000"), seed: 9, network: between(0, 320*ms, always(silence), host)})
	r.want(t, map[string]int{"closed rst": 1000, "filtered silence": 3000})
	if most := slices.Max(r.perPort()); most > 4 {
		t.Errorf("%d attempts were made at one port, want at most two before and two after", most)
	}
}

// TestSlowNeighbour holds the first few attempts back until the hardware address
// is known, as a kernel does, and drops the others: their silence means nothing,
// be there retries or not.
func TestSlowNeighbour(t *testing.T) {
	t.Parallel()
	const resolved = 500 * ms
	for _, retries := range []int{0, 2} {
		spec := testSpec("1-3000")
		spec.Retries, spec.MaxRetries = retries, 5*retries
		r := simulate(t, simulation{spec: spec, seed: 19, network: func(q question) reply {
			switch {
			case q.now >= resolved:
				return closed(near)
			case q.total <= 3:
				return closed(resolved - q.now + near)
			default:
				return silence
			}
		}})
		r.want(t, map[string]int{"closed rst": 3000})
	}
}

// TestLastSilenceBeforeWaking has all ports tried to the end before the address
// answers an attempt at the very last of them.
func TestLastSilenceBeforeWaking(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-50")
	spec.Rate = 30 // the first ports have been given up when the last are tried
	r := simulate(t, simulation{spec: spec, network: between(0, 1600*ms, always(silence), always(closed(near)))})
	r.want(t, map[string]int{"closed rst": 50})
	counts := r.perPort()
	if slices.Max(counts) < 3 {
		t.Error("no port was given up before the address answered, so nothing was tested")
	}
}

// TestDeclaredPortsFirst has the ports that the owner named tried before all
// others, and listens to them with all the patience there is.
func TestDeclaredPortsFirst(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-2000")
	spec.Expect = &scan.Expectation{Open: testSpec("22,443,1999").Ports, Allow: testSpec("80").Ports}
	r := simulate(t, simulation{spec: spec, seed: 10, network: func(q question) reply {
		switch q.index {
		case 21, 442, 1998:
			return open(900 * ms) // later than any other attempt would listen
		default:
			return closed(near)
		}
	}})
	first := slices.Sorted(slices.Values(r.first()[:4]))
	if !slices.Equal(first, []int{21, 79, 442, 1998}) || !r.only(scan.Open, 21, 442, 1998) {
		t.Errorf("the ports %v are tried first, and open are %d", first, r.census()["open handshake"])
	}
	for i, n := range r.perPort() {
		if n != 1 {
			t.Errorf("port %d took %d attempts, want 1", i, n)
		}
	}
	if slices.IsSorted(r.first()[4:]) {
		t.Error("the others are tried in rising order")
	}
}

// TestNearHostThatWakes is near, and dark at first: not one attempt of that time
// may count as lost, since few answers would then tell of much loss.
func TestNearHostThatWakes(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{100 * ms, 250 * ms, 320 * ms} {
		host := some(4, always(closed(near)), always(silence))
		r := simulate(t, simulation{spec: testSpec("1-4000"), seed: 9, network: between(0, after, always(silence), host)})
		r.want(t, map[string]int{"closed rst": 1000, "filtered silence": 3000})
		spec := testSpec("1-2000")
		spec.Retries, spec.MaxRetries = 0, 0
		spec.Rate = 5000 // so that the last port is first tried when the host has woken
		r = simulate(t, simulation{spec: spec, seed: 9, network: between(0, after, always(silence), always(closed(near)))})
		r.want(t, map[string]int{"closed rst": 2000})
		if t.Failed() {
			t.Fatalf("of a host that wakes after %v", after)
		}
	}
}
