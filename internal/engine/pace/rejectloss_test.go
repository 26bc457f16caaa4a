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

// lossyBothWays loses a share of the attempts on their way to the host, which spend none
// of its limits, and another share of its answers.
func lossyBothWays(random *rand.Rand, in, out float64, host network) network {
	return func(a attemptInfo) attemptResult {
		if random.Float64() < in {
			return silence
		}
		if r := host(a); random.Float64() >= out {
			return r
		}
		return silence
	}
}

// rejectingHosts are the ways in which a host rejects ports that are not open.
func rejectingHosts() map[string]network {
	reject := always(rejected(near))
	return map[string]network{
		"every attempt":              reject,
		"one a second":               rateLimited(1, 6, reject),
		"50 a second":                rateLimited(50, 50, reject),
		"1000 a second":              rateLimited(1000, 50, reject),
		"half of the ports":          some(2, reject, always(silence)),
		"half of the ports, limited": some(2, rateLimited(1, 6, reject), always(silence)),
	}
}

// TestLossAmidRejects scans hosts that reject all but one to three open ports, with a loss
// of 3 to 20 % in each direction: no open port is reported as filtered.
func TestLossAmidRejects(t *testing.T) {
	t.Parallel()
	const scans = 120 // of each kind, 2,160 in all
	for kind := range rejectingHosts() {
		for name, caller := range map[string]simulation{
			"late answers detected": {}, "late answers received": {receivesLate: true}, "late answers unnoticed": {noLateDetection: true},
		} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				random := rand.New(rand.NewPCG(uint64(len(kind)), 1))
				open, known, unknown, attempts := 0, 0, 0, 0
				var took time.Duration
				for range scans {
					r := scanRejectingHost(t, random, kind, caller)
					open += r.open
					known += r.found
					unknown += r.unknown
					attempts += len(r.attempts)
					took += r.duration
					if r.filtered > 0 {
						t.Errorf("loss of %.2f and %.2f: got %d of %d open ports filtered, want 0", r.in, r.out, r.filtered, r.open)
					}
				}
				t.Logf("%d of %d open ports found; a scan: %d unknown, %d attempts, %v", known, open, unknown/scans, attempts/scans, took/scans)
			})
		}
	}
}

type rejectingScan struct {
	*record

	in, out                        float64
	open, found, filtered, unknown int
}

func scanRejectingHost(t *testing.T, random *rand.Rand, kind string, caller simulation) rejectingScan {
	t.Helper()
	const ports = 500
	openPorts := make(map[int]bool)
	for range 1 + random.IntN(3) {
		openPorts[random.IntN(ports)] = true
	}
	others := rejectingHosts()[kind]
	host := func(a attemptInfo) attemptResult {
		if openPorts[a.index] {
			return open(near)
		}
		return others(a)
	}
	s := rejectingScan{in: 0.03 + 0.17*random.Float64(), out: 0.03 + 0.17*random.Float64(), open: len(openPorts)}
	caller.spec, caller.seed = testSpec(fmt.Sprintf("1-%d", ports)), random.Uint32()
	caller.network = lossyBothWays(random, s.in, s.out, host)
	s.record = simulate(t, caller)
	for i, r := range s.results {
		switch {
		case r.State == scan.Unknown:
			s.unknown++
		case openPorts[i] && r.State == scan.Open:
			s.found++
		case openPorts[i]:
			s.filtered++
		}
	}
	return s
}
