// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// udpSpec returns a UDP spec with the default limits of a module.
func udpSpec(ports string) scan.Spec {
	spec := testSpec(ports)
	spec.Protocol, spec.Timeout = scan.UDP, 9*time.Second
	return spec
}

// refused returns an ICMP port unreachable message that arrives after a time.
func refused(after time.Duration) attemptResult {
	return attemptResult{state: scan.Closed, cause: scan.CauseICMP, after: after}
}

// replied returns a datagram from an open port that arrives after a time.
func replied(after time.Duration) attemptResult {
	return attemptResult{state: scan.Open, cause: scan.CauseReply, after: after}
}

// TestQuota scans UDP hosts with the rate limits of common systems for ICMP errors. No
// closed port may be reported as silent, and nearly as many as the limit allows must be
// reported as closed.
func TestQuota(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		perSecond, burst float64
		ports            string
		timeout          time.Duration
		least            int // reported closed ports
	}{
		{1, 6, "1-1000", 9 * time.Second, 8}, // Linux: a burst of six, and at most eight more in 9 s
		{1, 6, "1-20", 60 * time.Second, 19},
		{10, 10, "1-1000", 9 * time.Second, 60},
		{200, 200, "1-1000", 9 * time.Second, 950},
		{1000, 50, "1-5000", 9 * time.Second, 4700},
	} {
		for seed := range uint32(8) {
			name := fmt.Sprintf("%v a second, ports %s, seed %d", tc.perSecond, tc.ports, seed)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				spec := udpSpec(tc.ports)
				spec.Timeout = tc.timeout
				r := simulate(t, simulation{
					spec: spec, seed: seed, receivesLate: true,
					network: some(500, always(replied(near)), rateLimited(tc.perSecond, tc.burst, always(refused(near)))),
				})
				got := r.counts()
				t.Log(r.duration, got, len(r.attempts))
				if got["open_filtered silence"] > 0 {
					t.Errorf("got %d silent ports, want 0", got["open_filtered silence"])
				}
				if got["closed icmp"] < tc.least {
					t.Errorf("got %d closed ports, want at least %d", got["closed icmp"], tc.least)
				}
				if want := (len(r.results) + 499) / 500; got["open reply"] != want {
					t.Errorf("got %d open ports, want %d", got["open reply"], want)
				}
			})
		}
	}
}

// TestQuotaFewPorts scans two open ports, a closed and a silent one of a host with the limit of
// Linux. The scan must be complete within 2 s.
func TestQuotaFewPorts(t *testing.T) {
	t.Parallel()
	ports := []attemptResult{replied(near), refused(near), replied(near), silence}
	for seed := range uint32(20) {
		r := simulate(t, simulation{
			spec: udpSpec("53,69,123,1194"), seed: seed, receivesLate: true,
			network: rateLimited(1, 6, func(a attemptInfo) attemptResult { return ports[a.index] }),
		})
		r.wantCounts(t, map[string]int{"open reply": 2, "closed icmp": 1, "open_filtered silence": 1})
		r.wantDuration(t, 0, 2*time.Second)
	}
}

// TestQuotaSilentPorts scans UDP hosts with a rate limit for ICMP errors and silent ports,
// and requires correct results for all ports if the timeout is long enough.
func TestQuotaSilentPorts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		perSecond, burst float64
		ports            string
		timeout          time.Duration
	}{
		{1, 6, "1-20", 2 * time.Minute},
		{10, 10, "1-60", time.Minute},
		{200, 100, "1-1000", time.Minute},
	} {
		for seed := range uint32(8) {
			t.Run(fmt.Sprintf("%v a second, seed %d", tc.perSecond, seed), func(t *testing.T) {
				t.Parallel()
				spec := udpSpec(tc.ports)
				spec.Timeout = tc.timeout
				r := simulate(t, simulation{
					spec: spec, seed: seed, receivesLate: true,
					network: rateLimited(tc.perSecond, tc.burst, some(4, always(silence), always(refused(near)))),
				})
				n := len(r.results)
				t.Log(r.duration, r.counts(), len(r.attempts))
				r.wantCounts(t, map[string]int{"open_filtered silence": n / 4, "closed icmp": n - n/4})
			})
		}
	}
}

// TestUDPWithoutQuota scans UDP hosts that do not limit ICMP errors. An engine that receives
// late answers must report all ports correctly in time; another one may take longer and
// leave a tenth of the closed ports unknown, and some of the silent ones.
func TestUDPWithoutQuota(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network func() network
		within  time.Duration
		want    map[string]int
	}{
		"closed":             {func() network { return always(refused(near)) }, time.Second, map[string]int{"closed icmp": 2000}},
		"silent":             {func() network { return always(silence) }, 2500 * ms, map[string]int{"open_filtered silence": 2000}},
		"few open":           {func() network { return some(500, always(replied(near)), always(silence)) }, 3 * time.Second, map[string]int{"open reply": 4, "open_filtered silence": 1996}},
		"few open, slow":     {func() network { return some(500, always(replied(800*ms)), always(silence)) }, 5 * time.Second, map[string]int{"open reply": 4, "open_filtered silence": 1996}},
		"closed and silent":  {func() network { return some(4, always(silence), always(refused(near))) }, 3 * time.Second, map[string]int{"open_filtered silence": 500, "closed icmp": 1500}},
		"lossy":              {func() network { return lossy(5, .19, some(50, always(silence), always(refused(near)))) }, 8 * time.Second, map[string]int{"open_filtered silence": 40, "closed icmp": 1960}},
		"closed and rejects": {func() network { return some(4, always(refused(near)), always(rejected(near))) }, time.Second, map[string]int{"closed icmp": 500, "filtered icmp": 1500}},
	} {
		for _, receivesLate := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, receives late %v", name, receivesLate), func(t *testing.T) {
				t.Parallel()
				r := simulate(t, simulation{spec: udpSpec("1-2000"), seed: 3, receivesLate: receivesLate, noLateDetection: !receivesLate, network: tc.network()})
				t.Log(r.duration, len(r.attempts))
				if receivesLate {
					r.wantCounts(t, tc.want)
					r.wantDuration(t, 0, tc.within)
				} else if got := r.counts(); got["open reply"] != tc.want["open reply"] || got["closed icmp"]*10 < tc.want["closed icmp"]*9 ||
					got["open_filtered silence"] > tc.want["open_filtered silence"] {
					t.Errorf("got %v, want at most a tenth less than %v", got, tc.want)
				}
			})
		}
	}
}

// TestUDPHostStartsAnswering scans a UDP host with closed ports that starts to send ICMP
// errors after 100 to 1100 ms. The ports that were silent before must be tried again, and
// reported as closed.
func TestUDPHostStartsAnswering(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{100 * ms, 600 * ms, 1100 * ms} {
		spec := udpSpec("1-1000")
		spec.Rate = 800 // the last port is first tried after the host has started to answer
		r := simulate(t, simulation{
			spec: spec, receivesLate: true,
			network: some(100, always(replied(near)), between(0, from, always(silence), always(refused(near)))),
		})
		r.wantCounts(t, map[string]int{"open reply": 10, "closed icmp": 990})
	}
}
