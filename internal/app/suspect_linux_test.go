// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/exporter-toolkit/web"

	"portscan_exporter/internal/testnet"
)

// newProber returns a function that probes a complete exporter without a listener.
func newProber(t *testing.T, config string) func(query string) string {
	t.Helper()
	e := newTestExporter(t, writeConfig(t, config), promslog.NewNopLogger())
	return func(query string) string {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/probe?"+query, nil)
		const scrapeTimeout = 10
		r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", strconv.Itoa(scrapeTimeout))
		w, started := httptest.NewRecorder(), time.Now()
		e.http.Handler.ServeHTTP(w, r)
		if took := time.Since(started); w.Code != http.StatusOK || took > scrapeTimeout*time.Second {
			t.Errorf("%s: status = %d after %v, want %d within %ds: %.200s", query, w.Code, took, http.StatusOK, scrapeTimeout, w.Body)
		}
		return w.Body.String()
	}
}

// newTestExporter returns an exporter without listeners.
func newTestExporter(t *testing.T, file string, logger *slog.Logger) *exporter {
	t.Helper()
	none, no := "", false
	e, err := newExporter(ServeOptions{
		ConfigFile: file, HistoryLimit: 10, TimeoutOffset: 0.5, MaxConnections: 100,
		WebOptions: WebOptions{Web: &web.FlagConfig{WebListenAddresses: &[]string{}, WebSystemdSocket: &no, WebConfigFile: &none}},
	}, logger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.scans.Close)
	return e
}

// TestProbeSuspectAddress scans a SYN proxy, a tarpit, a transparent mail proxy and two
// ordinary hosts that resemble them. The answers are short and in time, and unexpected
// open ports come first.
func TestProbeSuspectAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	addr := func(last byte) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, last}) }
	one := func(last byte) []netip.Addr { return []netip.Addr{addr(last)} }
	testnet.Start(
		t, testnet.Host{Addrs: one(1), Default: testnet.Accept},
		testnet.Host{Addrs: one(2), Ports: map[string]testnet.Answer{"22,10000-10298": testnet.Accept}},
		testnet.Host{Addrs: one(3), Default: testnet.Drop, Ports: map[string]testnet.Answer{"25,110": testnet.Accept}},
		testnet.Host{Addrs: one(4), Default: testnet.Drop, Ports: map[string]testnet.Answer{"25,110,143,993": testnet.Accept}},
	)
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			if port%10 == 0 {
				return testnet.Reply{Answer: testnet.ZeroWindow}
			}
			return testnet.Reply{Answer: testnet.Drop}
		},
	})
	var targets strings.Builder
	for name, host := range map[string]string{"proxy": "192.0.2.1", "honest": "192.0.2.2", "mailproxy": "192.0.2.3", "mail": "192.0.2.4", "tarpit": "203.0.113.5"} {
		fmt.Fprintf(&targets, "  - {name: %s, hosts: [%s], modules: [whole, few, half], authorization: {owner: me}, expect: {tcp: {open: 22}}}\n", name, host)
	}
	probe := newProber(t, `modules:
  whole: {ports: 1-65535}
  few: {ports: 1-2000}
  half: {ports: 1-2000, method: syn}
targets:
`+targets.String())
	for _, tc := range []struct {
		target, module string
		suspect        int
	}{
		{"proxy", "whole", 1},
		{"proxy", "half", 1},
		{"honest", "whole", 0},
		{"honest", "half", 0},
		{"mailproxy", "few", 1},
		{"mailproxy", "half", 1},
		{"mail", "few", 0},
		{"tarpit", "half", 1},
	} {
		body := probe("target=" + tc.target + "&module=" + tc.module)
		flag := regexp.MustCompile(`(?m)^portscan_address_suspect\{.*\} (\d)$`).FindStringSubmatch(body)
		if flag == nil || flag[1] != strconv.Itoa(tc.suspect) {
			t.Errorf("%s by %s: suspect is %v, want %d", tc.target, tc.module, flag, tc.suspect)
		}
		series := regexp.MustCompile(`(?m)^portscan_port_open\{expected="(\w+)".*port="(\d+)".*\} [01]$`).FindAllStringSubmatch(body, -1)
		if len(series) > 1000 {
			t.Errorf("%s with %s: %d ports have series", tc.target, tc.module, len(series))
		}
		if tc.target != "proxy" {
			continue
		}
		for _, s := range series {
			if s[1] != "closed" {
				t.Errorf("port %s, expected %s, has series although unexpected open ports were omitted", s[2], s[1])
			}
		}
	}
}
