// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"

	"portscan_exporter/internal/server"
	"portscan_exporter/internal/testnet"
)

// TestNewHostInNetwork has a host appear in a network behind a router, in a range, and at an address
// that hosts lists. Only the first two are new hosts: one line each, and their open ports. They are
// not new when they respond to a second module.
func TestNewHostInNetwork(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	listed, present := netip.MustParseAddr("192.0.2.33"), netip.MustParseAddr("192.0.2.2")
	var up atomic.Bool
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Reply: func(ip netip.Addr, port uint16, _ int) testnet.Reply {
			appears := ip == netip.MustParseAddr("192.0.2.1") || ip == netip.MustParseAddr("192.0.2.21") || ip == listed
			switch {
			case ip != present && (!appears || !up.Load()):
				return testnet.Reply{Answer: testnet.Drop}
			case port == 22:
				return testnet.Reply{Answer: testnet.Accept}
			default:
				return testnet.Reply{Answer: testnet.Refuse}
			}
		},
	})
	var log bytes.Buffer // written to before a probe is answered
	h := newHarness(t, `
modules:
  connect: {ports: "21-23", timeout: 9s}
  syn: {ports: "21-23", timeout: 9s, method: syn}
targets:
- {name: lan, hosts: [192.0.2.0/30, 192.0.2.20-21, 192.0.2.33], modules: [connect, syn], authorization: {owner: me}}
`, nil, func(o *server.Options) {
		o.Scans = newLoggedCoordinator(t, o, slog.New(slog.NewTextHandler(&log, nil)))
	})
	for _, module := range []string{"connect", "syn"} {
		newHost := `msg="New host" target=lan module=` + module + ` ip=`
		opened := `msg="Port state changed" target=lan module=` + module + ` ip=192.0.2.1 port=22 protocol=tcp from=filtered to=open`
		probe := func(isUp, wasUp bool) {
			t.Helper()
			log.Reset()
			up.Store(isUp)
			body := h.get(t, "/probe?target=lan&module="+module).Body.String()
			wantTexts(t, "/probe", body, "\nprobe_success 1\n", "\nportscan_addresses 5\n")
			if responding, at := lastResponse(t, body); (responding == "1") != isUp || at.IsZero() == (isUp || wasUp) {
				t.Errorf("%s: responding = %s, last response %v, want %v, %v", module, responding, at, isUp, isUp || wasUp)
			}
			first, lines := isUp && !wasUp, log.String()
			for part, want := range map[string]bool{
				newHost + "192.0.2.1\n": first && module == "connect", newHost + "192.0.2.21\n": first && module == "connect", opened: first,
			} {
				if strings.Contains(lines, part) != want {
					t.Errorf("%s: log = %q, want %q: %v", module, lines, part, want)
				}
			}
			if n := strings.Count(lines, "New host"); n > 2 || strings.Contains(lines, "ip=192.0.2.1 port=21 ") {
				t.Errorf("%s: log = %q, want two new hosts and their open ports", module, lines)
			}
		}
		probe(false, false)
		probe(true, false)
		changes := sectionText(t, h.get(t, "/target/lan?module="+module).Body.String(), "changes")
		wantTexts(t, "changes", changes, "– 192.0.2.1 new host connect", "– 192.0.2.21 new host connect", "22/tcp 192.0.2.1 filtered → open "+module)
		probe(false, true)
		probe(true, true)
	}
}
