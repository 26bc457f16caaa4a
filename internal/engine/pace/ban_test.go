// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// ban blocks the scanner after a number of attempts.
type ban struct {
	after   int
	host    network // before
	filter  network // afterwards
	began   time.Duration
	beyond  int // attempts since
	started bool
}

func (b *ban) answer(a attemptInfo) attemptResult {
	if a.total <= b.after {
		return b.host(a)
	}
	if !b.started {
		b.began, b.started = a.now, true
	}
	b.beyond++
	return b.filter(a)
}

// filters are the ways in which a filter blocks a scanner.
func filters() map[string]func() network {
	return map[string]func() network{
		"drop":                 func() network { return always(silence) },
		"reject":               func() network { return always(rejected(near)) },
		"reject, one a second": func() network { return rateLimited(1, 6, always(rejected(near))) },
		"reset":                func() network { return always(closed(near)) },
	}
}

// banHosts are hosts that are banned from. Port 7 and every hundredth port is open.
func banHosts() map[string]network {
	opened := func(others attemptResult) network {
		return func(a attemptInfo) attemptResult {
			if a.index == 7 || a.index%100 == 99 {
				return open(near)
			}
			return others
		}
	}
	return map[string]network{"closes": opened(closed(near)), "drops": opened(silence)}
}

// TestBanKinds scans hosts that block the scanner in mid-scan. An open port is never reported as
// closed or filtered unless the filter has reset it before any open port was asked again. The
// scan ends within 2 s and 300 attempts of an ICMP ban.
func TestBanKinds(t *testing.T) {
	t.Parallel()
	const scans = 250 // of each kind, 2,000 in all
	for hostName, host := range banHosts() {
		for name, filter := range filters() {
			t.Run(hostName+"/"+name, func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(len(name)), uint64(len(hostName))))
				most, longest := 0, time.Duration(0)
				for range scans {
					b := &ban{after: 5 + random.IntN(400), host: host, filter: filter()}
					r := simulate(t, simulation{spec: banSpec(), seed: random.Uint32(), network: b.answer, receivesLate: random.IntN(2) == 0})
					wantNoBannedState(t, r, host)
					if b.started && name != "drop" && name != "reset" {
						most, longest = max(most, b.beyond), max(longest, r.duration-b.began)
					}
					if t.Failed() {
						t.Fatalf("banned after %d attempts: %v", b.after, r.counts())
					}
				}
				t.Logf("at most %d attempts and %v after the ban", most, longest)
				if most > 300 || longest > 2*time.Second {
					t.Errorf("got %d attempts and %v after the ban, want at most 300 and 2s", most, longest)
				}
			})
		}
	}
}

// TestBanBeforeDeadline ends scans shortly after a ban. Open ports that the filter has rejected are
// not reported as filtered.
func TestBanBeforeDeadline(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 6))
	for range 500 {
		host := banHosts()["closes"]
		b := &ban{after: 100 + random.IntN(200), host: host, filter: always(rejected(near))}
		spec := banSpec()
		spec.Rate = 500
		until := time.Duration(b.after)*2*ms + time.Duration(random.IntN(300))*ms
		wantNoBannedState(t, simulate(t, simulation{spec: spec, seed: random.Uint32(), network: b.answer, until: until}), host)
	}
}

// TestRejectedCanaryAfterBan rejects a canary after the scan of an address that has banned the
// scanner has ended. No port is tried again.
func TestRejectedCanaryAfterBan(t *testing.T) {
	t.Parallel()
	plan := mustPlan(t, testSpec("1-10"))
	p, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), Report: func(scan.PortResult) {}})
	if err != nil {
		t.Fatal(err)
	}
	p.canaries.addPort(1)
	mark := p.canaries.add(20*ms, pending)
	p.rejects.proven.push(pendingAttempt{Attempt{Index: 2, number: 1}, 10 * ms})
	p.endBanned()
	p.Answered(30*ms, 20*ms, Attempt{Index: 1, Kind: Canary, mark: mark}, Answer{State: scan.Filtered})
	if p.Tick(40 * ms); !p.IsDone() {
		t.Errorf("IsDone() = false after a ban, want true")
	}
}

// TestStoppedServiceVerifiesNothing refuses an open port twice while another one answers. A port
// that was closed after the answer is not verified.
func TestStoppedServiceVerifiesNothing(t *testing.T) {
	t.Parallel()
	plan := mustPlan(t, testSpec("1-10"))
	p, err := NewPacer(Options{Plan: plan, Order: NewOrder(plan), Report: func(scan.PortResult) {}})
	if err != nil {
		t.Fatal(err)
	}
	p.open.add(0, 1, ms, ms)
	p.open.add(1, 1, ms, ms)
	p.settleCheck(10*ms, &Attempt{Index: 0}, answered, Answer{State: scan.Closed})
	p.settleCheck(20*ms, &Attempt{Index: 1}, answered, Answer{State: scan.Open})
	p.closed.add(10, 5, 25*ms)
	p.settleCheck(30*ms, &Attempt{Index: 0}, answered, Answer{State: scan.Closed})
	if p.ended || p.closed.isEmpty() {
		t.Errorf("ended %v, closed ports verified %v, want false and false", p.ended, p.closed.isEmpty())
	}
}

// banSpec returns the spec of scans of banHosts. One open port is declared, so that it answers
// before the ban.
func banSpec() scan.Spec {
	spec := testSpec("1-600")
	spec.Expect = &scan.Expectation{Open: scan.NewPortSet(8)}
	return spec
}

// wantNoBannedState fails the test if an open port is reported with another known state, or a
// silent one as closed.
func wantNoBannedState(t *testing.T, r *record, host network) {
	t.Helper()
	for i, p := range r.results {
		want := host(attemptInfo{index: i}).state
		if want == scan.Unknown {
			want = scan.Filtered
		}
		if p.State != scan.Unknown && p.State != want {
			t.Errorf("port %d: got %v (%v), want %v or unknown", i, p.State, p.Cause, want)
		}
	}
}

// TestServiceStops stops one of two services in mid-scan. That is no ban.
func TestServiceStops(t *testing.T) {
	t.Parallel()
	for seed := range uint32(50) {
		opened := map[int]bool{3: true, 8: true}
		asked := 0
		r := simulate(t, simulation{spec: testSpec("1-400"), seed: seed, network: func(a attemptInfo) attemptResult {
			switch {
			case !opened[a.index]:
				return closed(near)
			case a.index == 3 && a.total > 300:
				return closed(near)
			}
			asked++
			return open(near)
		}})
		if got := r.counts(); got["unknown unresponsive"] > 0 {
			t.Errorf("seed %d: got %v, want no unresponsive port", seed, got)
		}
	}
}

// TestOpenAttempts scans a host that drops attempts at all but one port. Its open port gets as
// many attempts as allowed, usually two, and the scan is complete.
func TestOpenAttempts(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 2, 3, 10} {
		for _, ports := range []string{"1-3", "1-2000", "1-65535"} {
			spec := testSpec(ports)
			spec.MaxOpenAttempts = limit
			r := simulate(t, simulation{spec: spec, seed: uint32(limit), network: some(70000, always(open(near)), always(silence))})
			r.wantCounts(t, map[string]int{"open handshake": 1, "filtered silence": len(r.results) - 1})
			made := 0
			for _, attempt := range r.attempts {
				if attempt.Index == 0 {
					made++
				}
			}
			if want := min(limit, usualAttempts); made != want {
				t.Errorf("max_open_attempts %d, ports %s: got %d attempts at the open port, want %d", limit, ports, made, want)
			}
		}
	}
}

// TestOpenAttemptsAnsweredLate delays the answers of an open port until another attempt at it is in
// flight. That attempt counts as well.
func TestOpenAttemptsAnsweredLate(t *testing.T) {
	t.Parallel()
	for limit := 1; limit <= 4; limit++ {
		for delay := 350 * ms; delay < 950*ms; delay += 25 * ms {
			spec := testSpec("1-400")
			spec.MaxOpenAttempts = limit
			simulate(t, simulation{spec: spec, seed: 1, receivesLate: true, network: func(a attemptInfo) attemptResult {
				switch a.index {
				case 0:
					return open(delay)
				case 1:
					return open(near)
				}
				return silence
			}})
		}
	}
}

// TestKnownBan scans hosts that a filter has blocked since the last complete scan.
func TestKnownBan(t *testing.T) {
	t.Parallel()
	ports := func(text string) scan.PortSet { return testSpec(text).Ports }
	closes := scan.Known{Open: ports("22,80"), Closed: ports("1-21,23-79,81-400")}
	drops := scan.Known{Open: ports("22,80"), Filtered: ports("1-21,23-79,81-400")}
	stopped := func(a attemptInfo) attemptResult { return closed(near) }
	reject := rateLimited(1, 6, always(rejected(near)))
	for name, tc := range map[string]struct {
		known   scan.Known
		network network
		banned  bool
	}{
		"closed ports are rejected":       {closes, always(rejected(near)), true},
		"closed ports, a limit of errors": {closes, reject, true},
		"silent ports are rejected":       {drops, always(rejected(near)), true},
		"silent ports are reset":          {drops, always(closed(near)), true},
		"services have stopped":           {closes, stopped, false},
		"services have stopped, silent":   {drops, some(1000, always(closed(near)), always(silence)), false},
		"a port is rejected": {closes, func(a attemptInfo) attemptResult {
			return map[bool]attemptResult{true: rejected(near), false: closed(near)}[a.index == 21]
		}, false},
		"nothing is known":  {scan.Known{}, always(rejected(near)), false},
		"one port is known": {scan.Known{Open: ports("22")}, always(rejected(near)), false},
	} {
		spec := testSpec("1-400")
		spec.Expect = &scan.Expectation{Allow: ports("22,80")} // tried first, like ports that were open
		r := simulate(t, simulation{spec: spec, seed: 3, known: tc.known, network: tc.network})
		got := r.counts()
		if banned := got["unknown unresponsive"] == 400; banned != tc.banned {
			t.Errorf("%s: got %v, want all unknown: %v", name, got, tc.banned)
		}
		if len(r.attempts) > 300 && tc.banned {
			t.Errorf("%s: got %d attempts, want at most 300", name, len(r.attempts))
		}
	}
}

// TestLimitedAttempts scans hosts behind filters that reject or drop attempts beyond a rate. No
// port is reported with a state that the filter has made.
func TestLimitedAttempts(t *testing.T) {
	t.Parallel()
	for _, rate := range []float64{50, 200, 1000} {
		for name, excess := range map[string]attemptResult{"reject": rejected(near), "drop": silence} {
			t.Run(fmt.Sprintf("%s beyond %v a second", name, rate), func(t *testing.T) {
				t.Parallel()
				for seed := range uint32(40) {
					host := banHosts()["closes"]
					r := simulate(t, simulation{spec: testSpec("1-600"), seed: seed, network: limitAttempts(rate, 5, excess, host)})
					wantNoBannedState(t, r, host)
					if t.Failed() {
						t.Fatalf("seed %d: %v after %v", seed, r.counts(), r.duration)
					}
				}
			})
		}
	}
}

// limitAttempts returns a network that answers attempts beyond a rate with excess.
func limitAttempts(perSecond, burst float64, excess attemptResult, host network) network {
	tokens, last := burst, time.Duration(0)
	return func(a attemptInfo) attemptResult {
		tokens = min(burst, tokens+perSecond*(a.now-last).Seconds())
		last = a.now
		if tokens < 1 {
			return excess
		}
		tokens--
		return host(a)
	}
}

// TestRejectingHostChecks scans hosts that reject by default, with a declared open port. Rejects
// are no sign of a ban there: the open port gets the usual attempts.
func TestRejectingHostChecks(t *testing.T) {
	t.Parallel()
	for name, reject := range rejectingHosts() {
		spec := banSpec()
		host := func(a attemptInfo) attemptResult {
			if a.index == 7 {
				return open(near)
			}
			return reject(a)
		}
		r := simulate(t, simulation{spec: spec, seed: 4, network: host})
		made := 0
		for _, attempt := range r.attempts {
			if attempt.Index == 7 {
				made++
			}
		}
		if got := r.counts(); made > usualAttempts || got["unknown unresponsive"] > 0 {
			t.Errorf("%s: got %d attempts at the open port and %v, want at most %d and no unresponsive port", name, made, got, usualAttempts)
		}
	}
}

// TestLimitBetweenCanaries scans a host behind a filter that rejects attempts beyond a rate, on a
// machine that is so slow that canaries are never rejected. No port is reported as filtered.
func TestLimitBetweenCanaries(t *testing.T) {
	t.Parallel()
	host := banHosts()["closes"]
	for seed := range uint32(40) {
		limited := limitAttempts(50, 5, rejected(near), host)
		r := simulate(t, simulation{spec: banSpec(), seed: seed, network: func(a attemptInfo) attemptResult {
			if a.kind == Canary {
				return host(a)
			}
			return limited(a)
		}})
		wantNoBannedState(t, r, host)
		if t.Failed() {
			t.Fatalf("seed %d: %v after %v", seed, r.counts(), r.duration)
		}
	}
}
