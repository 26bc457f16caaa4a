// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/testnet"
)

func TestProbeOpenAndClosedPort(t *testing.T) {
	t.Parallel()
	text, l := localConfig(t)
	h := newHarness(t, text, nil, nil)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	series := func(name string) string {
		return fmt.Sprintf(`%s{expected="open",ip="127.0.0.1",port="%s",protocol="tcp"}`, name, port)
	}
	w := h.get(t, "/probe?target=local")
	if w.Code != http.StatusOK {
		t.Fatalf("GET /probe: got status %d, want 200: %s", w.Code, w.Body)
	}
	wantTexts(t, "response", w.Body.String(), series("portscan_port_open")+" 1", series("portscan_port_filtered")+" 0",
		"probe_success 1", `portscan_ports_violating{expected="open",ip="127.0.0.1",protocol="tcp"} 0`,
		`portscan_target_info{owner="net <team>",reference="CHG-1",target="local"} 1`)
	_ = l.Close()
	for _, target := range []string{"local", "127.0.0.1", "::ffff:127.0.0.1"} {
		wantTexts(t, target+" after its port closed", h.get(t, "/probe?target="+target+"&module=fast").Body.String(), series("portscan_port_open")+" 0",
			`portscan_ports_violating{expected="open",ip="127.0.0.1",protocol="tcp"} 1`)
	}
}

func TestProbeMaxPorts(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	body := h.get(t, "/probe?target=local&module=few").Body.String()
	if n := strings.Count(body, "\nportscan_port_open{"); n != 2 {
		t.Errorf("got %d reported ports, want max_ports = 2", n)
	}
	wantTexts(t, "response", body, `portscan_ports_omitted{ip="127.0.0.1",protocol="tcp"} 99`)
}

// TestProbeDeadlineReached probes a target whose scan takes 10 s with a scrape
// timeout of 1.5 s: the response is in time, with partial results.
func TestProbeDeadlineReached(t *testing.T) {
	t.Parallel()
	text, l := localConfig(t)
	h := newHarness(t, text, nil, nil)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	started := time.Now()
	w := h.get(t, "/probe?target=local&module=slow", "X-Prometheus-Scrape-Timeout-Seconds", "1.5")
	if took := time.Since(started); took > 1500*time.Millisecond {
		t.Errorf("got a response after %v, want at most 1.5s", took)
	}
	wantTexts(t, "response", w.Body.String(), "probe_success 0",
		fmt.Sprintf(`portscan_port_open{expected="open",ip="127.0.0.1",port="%s",protocol="tcp"} 1`, port), // expected ports go first
		`portscan_scan_failed{reason="canceled"} 0`)
	if strings.Contains(w.Body.String(), `portscan_ports_unknown{reason="deadline"} 0`) {
		t.Error("got no port that is unknown because of the deadline")
	}
}

func TestProbeDebug(t *testing.T) {
	t.Parallel()
	text, l := localConfig(t)
	h := newHarness(t, text, nil, nil)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	w := h.get(t, "/probe?target=local&debug=true")
	wantTexts(t, "debug response", w.Body.String(), "Plan:", "must be open  "+port, "Addresses:\n  127.0.0.1",
		"127.0.0.1  "+port+"  open ", "handshake", "Logs for the probe:", "Probe finished", "probe_success 1")
	if ct := w.Header().Get("Content-Type"); ct != "text/plain; charset=utf-8" {
		t.Errorf("got Content-Type %s, want text/plain", ct)
	}
}

// deadlineRecorder records the time left for the last scan.
type deadlineRecorder struct {
	server.Scans

	left time.Duration
	err  error
}

func (d *deadlineRecorder) Scan(ctx context.Context, task scan.Task, _ coordinator.Client) (coordinator.Answer, error) {
	deadline, _ := ctx.Deadline()
	d.left = time.Until(deadline)
	return coordinator.Answer{Result: &scan.Result{Plan: task.Plan}, Progress: 1}, d.err
}

func TestProbeScanDeadlines(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	d := &deadlineRecorder{}
	h := newHarness(t, text, nil, func(o *server.Options) { o.Scans = d })
	for header, want := range map[string]time.Duration{
		"":      5 * time.Second,         // the module's timeout
		"10":    5 * time.Second,         // smaller than the scrape timeout
		"3":     2500 * time.Millisecond, // less the offset
		"0.6":   100 * time.Millisecond,
		"0.5":   250 * time.Millisecond, // not above the offset: half of it
		"0.2":   100 * time.Millisecond,
		"1e300": 5 * time.Second,
		"1e-12": 0, // not as if the header were missing
	} {
		var headers []string
		if header != "" {
			headers = []string{"X-Prometheus-Scrape-Timeout-Seconds", header}
		}
		if w := h.get(t, "/probe?target=local&module=fast", headers...); w.Code != http.StatusOK {
			t.Errorf("timeout %q: got status %d, want 200", header, w.Code)
		}
		// Less the write allowance and the time that has passed.
		if d.left > want || d.left < want*3/4-50*time.Millisecond {
			t.Errorf("timeout %q: got %v for the scan, want slightly less than %v", header, d.left, want)
		}
	}
}

func TestProbeUnavailable(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	for want, err := range map[string]error{"max_scans": coordinator.ErrBusy, "shutting down": coordinator.ErrClosing} {
		h := newHarness(t, text, nil, func(o *server.Options) { o.Scans = &deadlineRecorder{err: fmt.Errorf("wrapped: %w", err)} })
		w := h.get(t, "/probe?target=local")
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%v: got %d, %v, %q, want 503 with Retry-After", err, w.Code, w.Header(), w.Body)
		}
		wantTexts(t, "/metrics", h.get(t, "/metrics").Body.String(), `portscan_exporter_probes_refused_total{reason="limit"} 1`)
	}
}

func TestProbeRefusals(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	const unknownTarget, bad, unknownModule, expired = "unknown_target", "bad_request", "unknown_module", "expired"
	for path, want := range map[string]struct {
		status int
		reason string
		line   string
	}{
		"/probe":                                     {400, bad, "parameter target is missing"},
		"/probe?target=":                             {400, bad, "parameter target is missing"},
		"/probe?target=local&target=local":           {400, bad, "parameter target is set 2 times"},
		"/probe?target=local&module=":                {400, bad, "parameter module is empty"},
		"/probe?target=local&x=1":                    {400, bad, `unknown parameter "x"`},
		"/probe?target=local&debug=yes":              {400, bad, `parameter debug is "yes": use true or false`},
		"/probe?target=local;module=fast":            {400, bad, "malformed query"},
		"/probe?target=%zz":                          {400, bad, "malformed query"},
		"/probe?target=local&module=nonsense":        {400, unknownModule, `module "nonsense" is not configured`},
		"/probe?target=local&module=other":           {403, unknownModule, `target "local" does not list module "other"`},
		"/probe?target=ended":                        {403, expired, `authorization for target "ended" expired at`},
		"/probe?target=192.0.2.1&module=fast":        {403, expired, `authorization for target "ended" expired`},
		"/probe?target=nobody":                       {403, unknownTarget, `target "nobody" is not configured`},
		"/probe?target=127.0.0.2":                    {403, unknownTarget, `target "127.0.0.2" is not configured`},
		"/probe?target=127.1":                        {403, unknownTarget, "is not configured"},
		"/probe?target=LOCAL":                        {403, unknownTarget, "is not configured"},
		"/probe?target=127.0.0.1%25lo":               {403, unknownTarget, "is not configured"},
		"/probe?target=::1%25lo":                     {403, unknownTarget, "is not configured"},
		"/probe?target=127.0.0.1:80":                 {403, unknownTarget, "is not configured"},
		"/probe?target=192.0.2.255":                  {403, unknownTarget, "is not configured"},
		"/probe?target=192.0.2.0":                    {403, unknownTarget, "is not configured"},
		"/probe?target=http://127.0.0.1/":            {403, unknownTarget, `target "http://127.0.0.1/" is not configured`},
		"/probe?target=" + strings.Repeat("x", 9000): {403, unknownTarget, `xxx..." is not configured`},
		"/probe?target=%ff%0a%00":                    {403, unknownTarget, `target "\xff\n\x00" is not configured`},
	} {
		h := newHarness(t, text, nil, nil)
		w := h.get(t, path)
		body := w.Body.String()
		if w.Code != want.status || !strings.Contains(body, want.line) || strings.Count(body, "\n") != 1 || len(body) > 400 {
			t.Errorf("GET %.80s: got %d, %q, want %d, one line with %q", path, w.Code, body, want.status, want.line)
		}
		wantTexts(t, "/metrics after "+path, h.get(t, "/metrics").Body.String(),
			fmt.Sprintf("portscan_exporter_probes_refused_total{reason=%q} 1", want.reason), "portscan_exporter_attempts_total{protocol=\"tcp\"} 0")
	}
}

func TestProbeInvalidTimeoutHeader(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	const name = "X-Prometheus-Scrape-Timeout-Seconds"
	for _, headers := range [][]string{{name, "soon"}, {name, ""}, {name, "0"}, {name, "-1"}, {name, "NaN"}, {name, "5", name, "5"}} {
		if w := h.get(t, "/probe?target=local", headers...); w.Code != http.StatusBadRequest || strings.Count(w.Body.String(), "\n") != 1 {
			t.Errorf("headers %v: got %d, %q, want 400 and one line", headers, w.Code, w.Body)
		}
	}
}

// TestProbeInvalidRequests requests addresses and names that are not configured,
// and counts the packets that leave.
func TestProbeInvalidRequests(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.DefaultRoute(t)
	metadata, documentation := netip.MustParseAddr("169.254.169.254"), netip.MustParseAddr("203.0.113.1")
	loop, loop6 := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")
	counter := testnet.CountTo(t, metadata, documentation, loop, loop6)
	h := newHarness(t, `
modules: {m: {ports: "1-100"}}
targets: [{name: own, hosts: [192.0.2.1], modules: [m], authorization: {owner: me}}]
`, nil, nil)
	targets := []string{
		"169.254.169.254", "0.0.0.0", "%3A%3A", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "127.0.0.1", "::1", "[::1]", "localhost",
		"0x7f000001", "2130706433", "127.1", "0177.0.0.1", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd",
		"../../etc/passwd", "203.0.113.1", "203.0.113.1:80", "255.255.255.255", "224.0.0.1", "fe80::1%25eth0", "own%00", "own%20",
		"%ff%fe", "own'", "own\"}", strings.Repeat("A", 100_000), "192.0.2.1%25x", "192.0.2.01", "192.0.2.2",
	}
	for _, target := range targets {
		if w := h.get(t, "/probe?target="+strings.ReplaceAll(target, `"`, "%22")); w.Code < 400 || w.Code > 499 {
			t.Errorf("target %.60s: got status %d, want 4xx", target, w.Code)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions, http.MethodTrace, "PROPFIND"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "/probe?target=own", nil))
		if w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: got status %d, want 405", method, w.Code)
		}
	}
	for _, path := range []string{"/../../etc/passwd", "/probe/../config", "//probe", "/./probe", "/probe/x"} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		r.URL.Path = path
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 400 || w.Code > 499 || strings.Count(w.Body.String(), "\n") != 1 {
			t.Errorf("path %s: got %d, %q, want 4xx and one line", path, w.Code, w.Body)
		}
	}
	if n := counter.Left(t) + counter.Packets(t, metadata) + counter.Packets(t, documentation) + counter.Packets(t, loop) + counter.Packets(t, loop6); n != 0 {
		t.Errorf("got %d packets, want 0", n)
	}
	metrics := h.get(t, "/metrics").Body.String()
	for _, target := range targets {
		if len(target) < 1000 && strings.Contains(metrics, `"`+target) {
			t.Errorf("/metrics has %q", target)
		}
	}
}

// TestProbeAddressOutsideNetworks resolves a name partly outside its target's
// networks: only the address inside is scanned.
func TestProbeAddressOutsideNetworks(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	inside, outside, excluded := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("192.0.2.9")
	broadcast, mapped := netip.MustParseAddr("192.0.2.255"), netip.MustParseAddr("::ffff:203.0.113.1")
	testnet.AddAddress(t, inside)
	testnet.DefaultRoute(t)
	counter := testnet.CountTo(t, inside, outside, excluded, broadcast)
	h := newHarness(t, `
modules: {m: {ports: "1-100", port_timeout: 100ms}}
targets:
  - name: t
    hosts: [www.example.org]
    networks: [192.0.2.0/24]
    exclude_hosts: [192.0.2.9]
    modules: [m]
    authorization: {owner: me}
`, stubLookup{inside, outside, mapped, excluded, broadcast, netip.MustParseAddr("fe80::1%outside")}, nil)
	w := h.get(t, "/probe?target=t")
	wantTexts(t, "response", w.Body.String(), "portscan_addresses 1", "portscan_addresses_refused 3", "probe_success 0",
		`portscan_scan_failed{reason="address_refused"} 1`, `portscan_ports{ip="192.0.2.1",protocol="tcp",state="closed"} 100`)
	// 100 SYNs to the address, and 100 RSTs from it.
	if n := counter.Packets(t, inside); n != 200 {
		t.Errorf("got %d packets to the address inside, want 200", n)
	}
	for _, a := range []netip.Addr{outside, excluded, broadcast} {
		if n := counter.Packets(t, a); n != 0 {
			t.Errorf("got %d packets to %v, want 0", n, a)
		}
	}
	if n := counter.Left(t); n != 0 {
		t.Errorf("got %d packets that left the machine, want 0", n)
	}
}
