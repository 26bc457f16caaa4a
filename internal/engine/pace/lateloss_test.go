// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"math/rand/v2"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestLateAnswersAmidLoss scans hosts of which each 50th port answers late, over paths that
// lose up to 10 % in each direction: no such port is reported as filtered.
func TestLateAnswersAmidLoss(t *testing.T) {
	t.Parallel()
	const scans, ports, every = 100, "1-500", 50
	for name, caller := range map[string]simulation{
		"late answers detected": {}, "late answers received": {receivesLate: true}, "late answers unnoticed": {noLateDetection: true},
	} {
		random := rand.New(rand.NewPCG(1, 1))
		for range scans {
			host := some(every, always(closed(400*ms)), some(4, always(silence), always(closed(near))))
			caller.spec, caller.seed = testSpec(ports), random.Uint32()
			caller.network = lossyBothWays(random, 0.1*random.Float64(), 0.1*random.Float64(), host)
			r := simulate(t, caller)
			for i, p := range r.results {
				if i%every == 0 && p.State == scan.Filtered {
					t.Errorf("%s: port %d is %v, want closed or unknown", name, i, p.State)
				}
			}
		}
	}
}
