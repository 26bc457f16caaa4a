// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"fmt"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// udpSpec is a module of UDP with the defaults of config.yml.
func udpSpec(ports string) scan.Spec {
	spec := testSpec(ports)
	spec.Protocol, spec.Timeout = scan.UDP, 9*time.Second
	return spec
}

// refused is an ICMP port unreachable, and replied a datagram.
func refused(after time.Duration) reply {
	return reply{state: scan.Closed, cause: scan.CauseICMP, after: after}
}

func replied(after time.Duration) reply {
	return reply{state: scan.Open, cause: scan.CauseReply, after: after}
}

// TestQuota has hosts that say "closed" to datagrams as often as real ones do. No
// closed port reads as silent, and none that the budget allows for is missed.
func TestQuota(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		perSecond, burst float64
		ports            string
		timeout          time.Duration
		least            int // closed ports to be found
	}{
		{1, 6, "1-1000", 9 * time.Second, 8}, // Linux: six, and eight more in the time at the most
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
					spec: spec, seed: seed, hears: true,
					network: some(500, always(replied(near)), limited(tc.perSecond, tc.burst, always(refused(near)))),
				})
				got := r.census()
				t.Log(r.took, got, len(r.flights))
				if got["open_filtered silence"] > 0 {
					t.Errorf("%d closed ports read as silent", got["open_filtered silence"])
				}
				if got["closed icmp"] < tc.least {
					t.Errorf("%d ports are found closed, want %d or more", got["closed icmp"], tc.least)
				}
				if got["open reply"] != (len(r.results)+499)/500 {
					t.Errorf("%d ports are open", got["open reply"])
				}
			})
		}
	}
}

// TestQuotaAndSilence has silent ports amid closed ones: they are told apart where
// there is time for it.
func TestQuotaAndSilence(t *testing.T) {
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
					spec: spec, seed: seed, hears: true,
					network: limited(tc.perSecond, tc.burst, some(4, always(silence), always(refused(near)))),
				})
				n := len(r.results)
				t.Log(r.took, r.census(), len(r.flights))
				r.want(t, map[string]int{"open_filtered silence": n / 4, "closed icmp": n - n/4})
			})
		}
	}
}

// TestDatagrams has hosts without a budget to mind.
func TestDatagrams(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		network func() network
		within  time.Duration
		want    map[string]int
	}{
		"all closed":         {func() network { return always(refused(near)) }, time.Second, map[string]int{"closed icmp": 2000}},
		"dark":               {func() network { return always(silence) }, 2 * time.Second, map[string]int{"open_filtered silence": 2000}},
		"a few open":         {func() network { return some(500, always(replied(near)), always(silence)) }, 3 * time.Second, map[string]int{"open reply": 4, "open_filtered silence": 1996}},
		"open, slow":         {func() network { return some(500, always(replied(800*ms)), always(silence)) }, 5 * time.Second, map[string]int{"open reply": 4, "open_filtered silence": 1996}},
		"some silent":        {func() network { return some(4, always(silence), always(refused(near))) }, 3 * time.Second, map[string]int{"open_filtered silence": 500, "closed icmp": 1500}},
		"loses a fifth":      {func() network { return lossy(5, .19, some(50, always(silence), always(refused(near)))) }, 8 * time.Second, map[string]int{"open_filtered silence": 40, "closed icmp": 1960}},
		"rejects the others": {func() network { return some(4, always(refused(near)), always(rejected(near))) }, time.Second, map[string]int{"closed icmp": 500, "filtered icmp": 1500}},
	} {
		for _, hears := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, hears %v", name, hears), func(t *testing.T) {
				t.Parallel()
				r := simulate(t, simulation{spec: udpSpec("1-2000"), seed: 3, hears: hears, deaf: !hears, network: tc.network()})
				t.Log(r.took, len(r.flights))
				if hears {
					r.want(t, tc.want)
					r.within(t, 0, tc.within)
				} else if got := r.census(); got["open reply"] != tc.want["open reply"] || got["closed icmp"]*10 < tc.want["closed icmp"]*9 ||
					got["open_filtered silence"] > tc.want["open_filtered silence"] { // it takes longer, and some may stay unknown
					t.Errorf("%v", got)
				}
			})
		}
	}
}

// TestFirstWordLate has a host that says "closed" for the first time late: what had
// been silent before is asked again, and nothing was said of it.
func TestFirstWordLate(t *testing.T) {
	t.Parallel()
	for _, from := range []time.Duration{100 * ms, 600 * ms, 1100 * ms} {
		spec := udpSpec("1-1000")
		spec.Rate = 800 // so that the last port is first tried when the host has woken
		r := simulate(t, simulation{
			spec: spec, hears: true,
			network: some(100, always(replied(near)), between(0, from, always(silence), always(refused(near)))),
		})
		r.want(t, map[string]int{"open reply": 10, "closed icmp": 990})
	}
}
