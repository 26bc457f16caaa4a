// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// limitedBy returns a network that answers attempts at ports as host does. It limits ICMP errors
// with token buckets, one for each number that bucket returns for an error's state. The buckets
// gain one token a second up to six, as on Linux, and have a random number of tokens at first.
func limitedBy(random *rand.Rand, full float64, bucket func(scan.State) int, host func(index int) attemptResult) network {
	const most = 6
	var tokens [2]float64
	var last [2]time.Duration
	for i := range tokens {
		tokens[i] = most * max(full, random.Float64())
	}
	return func(a attemptInfo) attemptResult {
		r := host(a.index)
		if r == silence || r.cause != scan.CauseICMP {
			return r
		}
		b := bucket(r.state)
		tokens[b], last[b] = min(most, tokens[b]+(a.now-last[b]).Seconds()), a.now
		if tokens[b] < 1 {
			return silence
		}
		tokens[b]--
		return r
	}
}

// TestQuotaStates scans UDP hosts with ports that are closed, rejected by a filter, silent or
// open, 2,000 times. The ICMP errors have the limits of Linux, in common or apart. No state may
// be wrong, even if the senders have used up their limits before.
func TestQuotaStates(t *testing.T) {
	t.Parallel()
	common := func(scan.State) int { return 0 }
	apart := func(s scan.State) int { return int(senderOf(s)) }
	c, r, o := refused(near), rejected(near), replied(near)
	for name, tc := range map[string]struct {
		bucket   func(scan.State) int
		ports    []attemptResult
		loss     float64
		complete int // scans, of 2000, at least
	}{
		"one closed, one silent": {common, []attemptResult{o, c, o, silence}, 0, 1900},
		"closed":                 {common, []attemptResult{c, c, c, c, c, c, c, c}, 0, 1990},
		"rejected":               {common, []attemptResult{r, r, r, r, r, r, r, r}, 0, 1990},
		"closed and silent":      {common, []attemptResult{c, silence, c, silence, c, silence, c, silence}, 0, 1900},
		"rejected and silent":    {common, []attemptResult{r, silence, r, silence, r, silence, r, silence}, 0, 1900},
		"two senders":            {apart, []attemptResult{c, r, c, r, silence, silence}, 0, 1000},
		"two kinds":              {common, []attemptResult{c, r, c, r, silence, silence}, 0, 1000},
		"silent":                 {common, []attemptResult{silence, silence, o}, 0, 2000},
		"lossy":                  {common, []attemptResult{o, c, c, silence}, .05, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spec := udpSpec("1-8")
			spec.Ports, _ = scan.ParsePortSet("1-" + string(rune('0'+len(tc.ports))))
			spec.Timeout = 15 * time.Second
			complete, wrong, longest := 0, 0, time.Duration(0)
			for seed := range uint32(2000) {
				random := rand.New(rand.NewPCG(uint64(seed), 3))
				host := limitedBy(random, math.Ceil(tc.loss), tc.bucket, func(i int) attemptResult { return tc.ports[i] })
				got := simulate(t, simulation{spec: spec, seed: seed, receivesLate: true, network: lossy(uint64(seed), tc.loss, host)})
				if !got.stopped {
					complete++
					longest = max(longest, got.duration)
				}
				for i, p := range got.results {
					want := tc.ports[i].state
					if tc.ports[i] == silence {
						want = scan.OpenFiltered
					}
					if p.State != want && p.State != scan.Unknown {
						wrong++
						t.Errorf("seed %d: got %v for port %d, want %v", seed, p.State, i, want)
					}
				}
			}
			t.Logf("%d complete, at most %v", complete, longest)
			if complete < tc.complete {
				t.Errorf("got %d complete scans, want at least %d", complete, tc.complete)
			}
		})
	}
}
