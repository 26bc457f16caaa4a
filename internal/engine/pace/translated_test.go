// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestTranslatedPorts scans an address with local NAT rules for a tenth of its ports. These
// ports must be unknown after one attempt each, and must not delay the others.
func TestTranslatedPorts(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{
		spec: testSpec("1-3000"), seed: 21,
		network: some(10, always(localError(scan.CauseTranslated)), always(closed(near))),
	})
	r.wantCounts(t, map[string]int{"unknown translated": 300, "closed rst": 2700})
	r.wantDuration(t, 0, time.Second)
	attempts := 0
	for _, attempt := range r.attempts {
		if attempt.ending == endedFailed {
			attempts++
		}
	}
	if attempts != 300 {
		t.Errorf("got %d translated attempts, want 300", attempts)
	}
}

// TestTranslatedAddress scans an address with local NAT rules for all ports. All must be
// unknown within a second.
func TestTranslatedAddress(t *testing.T) {
	t.Parallel()
	r := simulate(t, simulation{spec: testSpec("1-500"), seed: 22, network: always(localError(scan.CauseTranslated))})
	r.wantCounts(t, map[string]int{"unknown translated": 500})
	r.wantDuration(t, 0, time.Second)
}

// TestTranslatedCanaries adds local NAT rules during a scan. Canaries are translated too, so
// that no silent port may be reported as filtered.
func TestTranslatedCanaries(t *testing.T) {
	t.Parallel()
	before := some(3, always(silence), always(closed(near)))
	r := simulate(t, simulation{
		spec: testSpec("1-3000"), seed: 23, until: 5 * time.Second,
		network: between(50*ms, time.Hour, always(localError(scan.CauseTranslated)), before),
	})
	got := r.counts()
	if got["unknown translated"] == 0 || got["filtered silence"] > 0 || got["unknown unresponsive"] > 0 {
		t.Errorf("got %v, want translated ports, and no filtered or unresponsive ones", got)
	}
}
