// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"portscan_exporter/internal/testnet"
)

// TestProbesCoalesced counts the packets of 50 concurrent probes of a target, by
// its name and by its address.
func TestProbesCoalesced(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	far := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Reply:    func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Answer: testnet.Refuse} },
	})
	h := newHarness(t, `
modules:
  m: {ports: "1-200", rate: 200, timeout: 9s}
targets:
- {name: t, hosts: [192.0.2.77], modules: [m], authorization: {owner: me}}
`, nil, nil)
	probe := func(path string) {
		if body := h.get(t, path).Body.String(); !strings.Contains(body, "\nprobe_success 1\n") || !strings.Contains(body, `state="closed"} 200`) {
			t.Errorf("GET %s: got %s, want 200 closed ports", path, body)
		}
	}
	const ports, canaries, probes = 200, 20, 50 // canaries verify that the path works
	probe("/probe?target=t")
	single := far.Counts().SYNsIn
	if single < ports || single > ports+canaries {
		t.Fatalf("one probe: got %d packets, want about %d", single, ports)
	}
	var all sync.WaitGroup
	for i := range probes {
		all.Go(func() {
			probe([]string{"/probe?target=t", "/probe?target=192.0.2.77", "/probe?target=t&module=m"}[i%3])
		})
	}
	all.Wait()
	if n := far.Counts().SYNsIn - single; n < ports || n > ports+canaries {
		t.Errorf("%d concurrent probes: got %d packets, want about %d", probes, n, single)
	}
	wantTexts(t, "/metrics", h.get(t, "/metrics").Body.String(),
		`portscan_exporter_probes_coalesced_total{module="m"} 49`, `portscan_exporter_scans_total{module="m"} 2`)
}
