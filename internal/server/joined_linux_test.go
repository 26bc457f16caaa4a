package server_test

import (
	"net/netip"
	"strings"
	"sync"
	"testing"

	"portscan_exporter/internal/testnet"
)

// TestManyProbesCostOneScan counts the packets that reach a target of whom 50 ask at
// once, by its name and by its address.
func TestManyProbesCostOneScan(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	far := testnet.StartFar(t, testnet.Far{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Reply:    func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Answer: testnet.Refuse} },
	})
	h := build(t, `
modules:
  m: {ports: "1-200", rate: 400, timeout: 9s}
targets:
- {name: t, hosts: [192.0.2.77], modules: [m], authorization: {owner: me}}
`, nil, nil)
	ask := func(path string) {
		if body := h.get(t, path).Body.String(); !strings.Contains(body, "\nprobe_success 1\n") || !strings.Contains(body, `state="closed"} 200`) {
			t.Errorf("%s answers %s", path, body)
		}
	}
	const ports, canaries, crowd = 200, 20, 50 // a few ports are asked again to see that the path works
	ask("/probe?target=t")
	alone := far.Counts().SYNsIn
	if alone < ports || alone > ports+canaries {
		t.Fatalf("one probe cost %d packets, want about %d", alone, ports)
	}
	var all sync.WaitGroup
	for i := range crowd {
		all.Go(func() { ask([]string{"/probe?target=t", "/probe?target=192.0.2.77", "/probe?target=t&module=m"}[i%3]) })
	}
	all.Wait()
	if n := far.Counts().SYNsIn - alone; n < ports || n > ports+canaries {
		t.Errorf("%d probes at once cost %d packets, and one %d", crowd, n, alone)
	}
	wantLines(t, "/metrics", h.get(t, "/metrics").Body.String(),
		`portscan_exporter_probes_coalesced_total{module="m"} 49`, `portscan_exporter_scans_total{module="m"} 2`)
}
