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

// TestDarkHost has a host with an unexpected open port drop all packets between two scans, and
// later accept them again. In between, the port is filtered, but nothing reports that it closed.
func TestDarkHost(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	var drops atomic.Bool
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			switch {
			case drops.Load():
				return testnet.Reply{Answer: testnet.Drop}
			case port == 22 || port == 8022:
				return testnet.Reply{Answer: testnet.Accept}
			default:
				return testnet.Reply{Answer: testnet.Refuse}
			}
		},
	})
	var log bytes.Buffer // written to before a probe is answered
	h := newHarness(t, `
modules:
  connect: {ports: "1-100,8022", timeout: 9s}
  syn: {ports: "1-100,8022", timeout: 9s, method: syn}
targets:
- {name: web, hosts: [192.0.2.1], modules: [connect, syn], authorization: {owner: me}, expect: {tcp: {open: "22"}}}
`, nil, func(o *server.Options) {
		o.Scans = newLoggedCoordinator(t, o, slog.New(slog.NewTextHandler(&log, nil)))
	})
	const port = `ip="192.0.2.1",port="8022",protocol="tcp"} `
	for _, module := range []string{"connect", "syn"} {
		probe := func(dark bool, wantLog, wantOpen string) {
			t.Helper()
			log.Reset()
			drops.Store(dark)
			body := h.get(t, "/probe?target=web&module="+module).Body.String()
			wantTexts(t, "/probe", body, "\nprobe_success 1\n", `portscan_port_open{expected="closed",`+port+wantOpen+"\n")
			if strings.Contains(body, "portscan_port_last_change_timestamp_seconds{") {
				t.Errorf("%s: got a change, want none: %s", module, body)
			}
			if responding, at := lastResponse(t, body); (responding == "0") != dark || at.IsZero() {
				t.Errorf("%s: responding = %s, last response %v, want dark %v and a time", module, responding, at, dark)
			}
			if got := log.String(); strings.Count(got, "\n") != min(1, len(wantLog)) || !strings.Contains(got, wantLog) {
				t.Errorf("%s: log = %q, want %q", module, got, wantLog)
			}
		}
		probe(false, "", "1")
		probe(true, `msg="Address went dark" target=web module=`+module+` ip=192.0.2.1 since=`, "0")
		wantTexts(t, "/target/web", plainText(h.get(t, "/target/web?module="+module).Body.String()), "1 address dark", "no response for")
		probe(true, "", "0")
		probe(false, `msg="Address responds again" target=web module=`+module+` ip=192.0.2.1 since=`, "1")
	}
}
