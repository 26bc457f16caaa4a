// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
)

const testConfig = `
modules:
  fast: {ports: "1-100", timeout: 5s, port_timeout: 200ms, retries: 0}
  slow: {ports: "1-1000", timeout: 9s, rate: 100, scrape_interval: 1m}
  few: {ports: "1-100", timeout: 5s, max_ports: 2, report: all}
  other: {ports: "1", timeout: 5s}
targets:
  - name: local
    hosts: [127.0.0.1]
    modules: [fast, slow, few]
    authorization: {owner: "net <team>", reference: CHG-1, expires: 2099-01-01}
    expect: {tcp: {open: "%PORT%"}}
    labels: {env: prod, rack: r1}
  - name: ended
    hosts: [192.0.2.1]
    modules: [fast]
    authorization: {owner: me, expires: 2020-01-01}
  - name: named
    hosts: [www.example.org]
    networks: [192.0.2.0/24]
    modules: [fast]
    authorization: {owner: me}
  - name: spare
    hosts: [198.51.100.7]
    modules: [other]
    authorization: {owner: me}
external_labels: {vantage: dmz, rack: r0}
`

// stubLookup resolves every name to the same addresses.
type stubLookup []netip.Addr

func (s stubLookup) ask(_ context.Context, q resolve.Question) ([]netip.Addr, error) {
	addrs := slices.DeleteFunc(slices.Clone(s), func(a netip.Addr) bool { return !q.Family.Includes(a) })
	if len(addrs) == 0 {
		return nil, resolve.ErrNoAddress
	}
	return addrs, nil
}

// harness is a server wired as the serve command does it.
type harness struct {
	*server.Server

	file     string
	exporter *collector.Exporter
	registry *prometheus.Registry
	reloader *config.Reloader
	store    *store.Store
	scans    *coordinator.Coordinator
	budget   *engine.Budget
}

// newHarness returns a harness for the text of a configuration. change adjusts
// the options; it may be nil.
func newHarness(tb testing.TB, text string, names stubLookup, change func(*server.Options)) *harness {
	tb.Helper()
	h := &harness{file: filepath.Join(tb.TempDir(), "config.yml"), registry: prometheus.NewRegistry()}
	writeFile(tb, h.file, text)
	var err error
	must := func() {
		if err != nil {
			tb.Helper()
			tb.Fatal(err)
		}
	}
	h.budget, err = engine.NewBudget(engine.Limits{})
	must()
	connect, err := engine.NewConnect(h.budget)
	must()
	resolver, err := resolve.New(resolve.Options{Ask: names.ask})
	must()
	logger := slog.New(slog.DiscardHandler)
	safe := config.NewSafeConfig(h.file, nil)
	h.exporter, err = collector.NewExporter(h.registry, func() collector.ExporterStats {
		return collector.ExporterStats{TCPAttempts: h.budget.Stats().TCPAttempts}
	})
	must()
	h.store, err = store.New(logger)
	must()
	h.scans, err = coordinator.New(coordinator.Options{
		Resolver: resolver, Store: h.store, MaxScans: 8, Logger: logger, Observe: observeScan(h.exporter), Joined: h.exporter.CountCoalesced,
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: connect},
	})
	must()
	tb.Cleanup(h.scans.Close)
	h.reloader = &config.Reloader{File: h.file, Config: safe, Logger: logger, Observe: h.exporter.ObserveReload, Apply: func(c *config.Config) { h.scans.SetMaxScans(c.Limits().MaxScans) }}
	err = h.reloader.Reload()
	must()
	o := server.Options{
		Config: safe, Names: resolver, Scans: h.scans, Results: h.store, Exporter: h.exporter, Gatherer: h.registry, Reload: h.reloader.Reload,
		Ready: func() bool { return true }, Logger: logger, User: func(*http.Request) string { return "" }, TimeoutOffset: 500 * time.Millisecond, HistoryLimit: 3,
	}
	if change != nil {
		change(&o)
	}
	h.Server, err = server.New(o)
	must()
	return h
}

// observeScan returns the observer of scans that counts them.
func observeScan(e *collector.Exporter) func(coordinator.Event) {
	return func(event coordinator.Event) { e.ObserveScan(event.Task.Module, event.Result) }
}

func writeFile(tb testing.TB, file, text string) {
	tb.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		tb.Fatal(err)
	}
}

// localConfig returns testConfig, which expects a port of loopback to be open, and
// a listener at that port.
func localConfig(t *testing.T) (text string, l net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(testConfig, "%PORT%", port), l
}

// get returns the response to GET path; headers are pairs.
func (h *harness) get(tb testing.TB, path string, headers ...string) *httptest.ResponseRecorder {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func wantTexts(tb testing.TB, what, body string, lines ...string) {
	tb.Helper()
	for _, l := range lines {
		if !strings.Contains(body, l) {
			tb.Errorf("%s lacks %q:\n%s", what, l, body)
		}
	}
}

func TestNewInvalidOptions(t *testing.T) {
	t.Parallel()
	if _, err := server.New(server.Options{}); err == nil {
		t.Error("New(Options{}) succeeded, want an error")
	}
	text, _ := localConfig(t)
	var complete server.Options
	newHarness(t, text, nil, func(o *server.Options) { complete = *o })
	for _, prefix := range []string{"/{a", "/a b", "/a%20b", "/é"} {
		complete.RoutePrefix = prefix
		if _, err := server.New(complete); err == nil {
			t.Errorf("New with route prefix %q succeeded, want an error", prefix)
		}
	}
}

func TestEndpointStatuses(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	ready := true
	h := newHarness(t, text, nil, func(o *server.Options) { o.Ready = func() bool { return ready } })
	for path, want := range map[string]int{"/-/healthy": 200, "/-/ready": 200, "/metrics": 200, "/config": 200, "/": 200, "/style.css": 200, "/script.js": 200, "/icon.svg": 200, "/target/local": 200, "/target/nobody": 404, "/target/127.0.0.1": 404, "/target/": 404, "/sd": 200, "/nothing": 404, "/debug/pprof/": 404, "/logs": 400, "/logs?id=99": 404} {
		if w := h.get(t, path); w.Code != want {
			t.Errorf("GET %s: got status %d, want %d", path, w.Code, want)
		}
	}
	ready = false
	if w := h.get(t, "/-/ready"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("GET /-/ready during shutdown: got status %d, want 503", w.Code)
	}
	metrics := h.get(t, "/metrics").Body.String()
	if strings.Contains(metrics, "portscan_port_open") || !strings.Contains(metrics, "portscan_exporter_scans_total") {
		t.Error("/metrics has metrics of targets, or lacks those of the exporter")
	}
}

func TestReloadEndpoint(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	post := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/-/reload", nil))
		return w
	}
	if w := h.get(t, "/-/reload"); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "POST" {
		t.Errorf("GET /-/reload: got status %d and Allow %q, want 405 and POST", w.Code, w.Header().Get("Allow"))
	}
	writeFile(t, h.file, text+"nonsense: 1\n")
	w := post()
	if w.Code != http.StatusInternalServerError {
		t.Errorf("reload of an invalid file: got status %d, want 500", w.Code)
	}
	wantTexts(t, "response", w.Body.String(), "config.yml:", "nonsense")
	wantTexts(t, "/metrics", h.get(t, "/metrics").Body.String(), "portscan_exporter_config_last_reload_successful 0")
	wantTexts(t, "/config", h.get(t, "/config").Body.String(), "name: local")
	writeFile(t, h.file, strings.ReplaceAll(text, "name: spare", "name: fresh"))
	if w := post(); w.Code != http.StatusOK {
		t.Errorf("reload of a valid file: got status %d, want 200: %s", w.Code, w.Body)
	}
	wantTexts(t, "/config", h.get(t, "/config").Body.String(), "name: fresh")
	wantTexts(t, "/metrics", h.get(t, "/metrics").Body.String(), "portscan_exporter_config_last_reload_successful 1")
}

func TestIndexBelowExternalURL(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	external, err := url.Parse("https://ports.example.org/exporter/")
	if err != nil {
		t.Fatal(err)
	}
	h := newHarness(t, text, nil, func(o *server.Options) { o.ExternalURL, o.RoutePrefix = external, "/exporter" })
	h.get(t, "/exporter/probe?target=local")
	w := h.get(t, "/exporter/")
	wantTexts(t, "status page", w.Body.String(),
		`href="/exporter/target/local?module=fast"`, `net &lt;team&gt;`, `href="/exporter/probe?module=fast&amp;target=local"`, `href="/exporter/style.css"`,
		`authorization expired`, `href="/exporter/logs?id=1"`)
	csp := w.Header().Get("Content-Security-Policy")
	if !strings.Contains(csp, "default-src 'none'") || w.Header().Get("X-Content-Type-Options") != "nosniff" || strings.Count(w.Body.String(), "<script") != 1 {
		t.Errorf("got headers %v, want a policy, nosniff and one script", w.Header())
	}
	if w := h.get(t, "/"); w.Code != http.StatusFound || w.Header().Get("Location") != "/exporter/" {
		t.Errorf("GET /: got status %d to %q, want a redirect to the prefix", w.Code, w.Header().Get("Location"))
	}
	if w := h.get(t, "/probe?target=local"); w.Code != http.StatusNotFound {
		t.Errorf("GET /probe outside the prefix: got status %d, want 404", w.Code)
	}
}

// TestHistoryKeepsFailedProbes checks that complete probes do not evict failed ones.
func TestHistoryKeepsFailedProbes(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, stubLookup{netip.MustParseAddr("203.0.113.1")}, nil)
	h.get(t, "/probe?target=named") // fails: the name resolves outside the networks
	for range 5 {
		h.get(t, "/probe?target=local&module=few")
	}
	wantTexts(t, "log of the failed probe", h.get(t, "/logs?id=1").Body.String(), "address_refused", "203.0.113.1")
	for id, want := range map[string]int{"2": 404, "3": 404, "4": 200, "6": 200, "7": 404} {
		if w := h.get(t, "/logs?id="+id); w.Code != want {
			t.Errorf("GET /logs?id=%s: got status %d, want %d", id, w.Code, want)
		}
	}
}
