// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/server"
)

type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func groups(t *testing.T, w *httptest.ResponseRecorder) []group {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("GET /sd: got %d, %s, want 200 and JSON", w.Code, w.Header().Get("Content-Type"))
	}
	var all []group
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiscoveryEntries(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	all := groups(t, h.get(t, "http://exporter.example.org:10115/sd"))
	var names []string
	for _, g := range all {
		names = append(names, g.Labels["instance"]+"/"+g.Labels["module"])
	}
	if diff := cmp.Diff([]string{"local/fast", "local/slow", "local/few", "ended/fast", "named/fast", "spare/other"}, names); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	want := group{
		Targets: []string{"exporter.example.org:10115"},
		Labels: map[string]string{
			"__scheme__": "http", "__metrics_path__": "/probe", "__param_target": "local", "__param_module": "slow",
			"instance": "local", "module": "slow", "vantage": "dmz", "env": "prod", "rack": "r1",
			"__scrape_interval__": "60000ms", "__scrape_timeout__": "9500ms",
		},
	}
	if diff := cmp.Diff(want, all[1]); diff != "" {
		t.Errorf("an entry with a scrape interval (-want +got):\n%s", diff)
	}
	if _, ok := all[0].Labels["__scrape_timeout__"]; ok {
		t.Error("got a scrape timeout without a scrape interval, want both or neither")
	}
}

func TestDiscoveryProbeURL(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	for name, tc := range map[string]struct {
		url, external, prefix string
		tls                   bool
		host, scheme, path    string
	}{
		"host of the request":      {url: "http://10.0.0.1:1/sd", host: "10.0.0.1:1", scheme: "http", path: "/probe"},
		"IPv6":                     {url: "http://[2001:db8::1]:1/sd", host: "[2001:db8::1]:1", scheme: "http", path: "/probe"},
		"IPv6, no port":            {url: "http://[2001:db8::1]/sd", host: "[2001:db8::1]:80", scheme: "http", path: "/probe"},
		"largest port":             {url: "http://10.0.0.1:65535/sd", host: "10.0.0.1:65535", scheme: "http", path: "/probe"},
		"no port":                  {url: "http://exporter/sd", host: "exporter:80", scheme: "http", path: "/probe"},
		"TLS":                      {url: "https://exporter/sd", tls: true, host: "exporter:443", scheme: "https", path: "/probe"},
		"route prefix":             {url: "http://exporter:1/p/sd", prefix: "/p/", host: "exporter:1", scheme: "http", path: "/p/probe"},
		"empty port":               {url: "http://exporter:/sd", host: "exporter:80", scheme: "http", path: "/probe"},
		"IPv6, TLS":                {url: "https://[2001:db8::1]/sd", tls: true, host: "[2001:db8::1]:443", scheme: "https", path: "/probe"},
		"IPv6 external URL":        {url: "http://10.0.0.1:1/sd", external: "https://[2001:db8::1]", host: "[2001:db8::1]:443", scheme: "https", path: "/probe"},
		"zone":                     {url: "http://[fe80::1]:1/sd", external: "http://[fe80::1%25eth0]:1/", host: "[fe80::1%eth0]:1", scheme: "http", path: "/probe"},
		"long prefix":              {url: "http://exporter:1/a/b/sd", prefix: "a/b", host: "exporter:1", scheme: "http", path: "/a/b/probe"},
		"escaped path":             {url: "http://10.0.0.1:1/sd", external: "https://x.example.org/a%20b/", prefix: "/", host: "x.example.org:443", scheme: "https", path: "/a b/probe"},
		"external URL":             {url: "http://10.0.0.1:1/p/sd", external: "https://x.example.org/p/", prefix: "p", host: "x.example.org:443", scheme: "https", path: "/p/probe"},
		"proxy removes the prefix": {url: "http://10.0.0.1:1/sd", external: "https://x.example.org:8443/p", prefix: "/", host: "x.example.org:8443", scheme: "https", path: "/p/probe"},
	} {
		h := newHarness(t, text, nil, func(o *server.Options) {
			o.RoutePrefix = tc.prefix
			if tc.external != "" {
				var err error
				if o.ExternalURL, err = url.Parse(tc.external); err != nil {
					t.Fatal(err)
				}
			}
		})
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, tc.url, nil)
		if tc.tls {
			r.TLS = &tls.ConnectionState{}
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		g := groups(t, w)[0]
		got := []string{g.Targets[0], g.Labels["__scheme__"], g.Labels["__metrics_path__"]}
		if diff := cmp.Diff([]string{tc.host, tc.scheme, tc.path}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestDiscoveryInvalidHost checks that a request whose host cannot be scraped gets
// an error, which makes Prometheus keep its targets.
func TestDiscoveryInvalidHost(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	for host, why := range map[string]string{
		"":                              "Host header is missing",
		":10115":                        "Host header is missing",
		"exporter:port":                 "is invalid",
		"exporter:0":                    "is invalid",
		"exporter:000":                  "is invalid",
		"exporter:65536":                "is invalid",
		"exporter:99999":                "is invalid",
		"exporter:-1":                   "is invalid",
		"exporter:+80":                  "is invalid",
		"exporter:18446744073709551696": "is invalid",
		"[2001:db8::1]:0":               "is invalid",
		"[2001:db8::1]:65536":           "is invalid",
		"[2001:db8::1]x":                "is invalid",
		"[192.0.2.1]:1":                 "is invalid",
		"[exporter]:1":                  "is invalid",
		"[2001:db8::1%25eth0]:1":        "is invalid",
		"exporter:1:2":                  "is invalid",
		"a,b:1":                         "is invalid",
		"user:secret@exporter:1":        "is invalid",
		"2001:db8::1":                   "is invalid",
		"exporter/sd?":                  "is invalid",
		"[fe80::1]:10115":               "without its interface",
		"user@exporter:1":               "is invalid",
		"exporter:1#sd":                 "is invalid",
		"[2001:db8::1:1015":             "is invalid",
	} {
		w := h.discovery(t, host)
		if w.Code != http.StatusInternalServerError || !strings.Contains(w.Body.String(), why) || !strings.Contains(w.Body.String(), "--web.external-url") {
			t.Errorf("Host %q: got %d, %s, want 500 and %s", host, w.Code, w.Body, why)
		}
	}
	h = newHarness(t, "modules: {m: {ports: 1}}\ntargets: []\n", nil, nil)
	if w := h.get(t, "/sd"); w.Code != http.StatusOK || w.Body.String() != "[]\n" {
		t.Errorf("without targets: got %d, %q, want []", w.Code, w.Body)
	}
}

// discovery returns the response to GET /sd with a Host header.
func (h *harness) discovery(t *testing.T, host string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sd", nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestDiscoveryOrder checks that the entries have the order of the configuration,
// target files included, and that a reload does not change the response.
func TestDiscoveryOrder(t *testing.T) {
	t.Parallel()
	var main, more strings.Builder
	main.WriteString("modules:\n  a: {ports: 1, scrape_interval: 1m}\n  b: {ports: 2}\n  c: {ports: 3}\n")
	main.WriteString("external_labels: {vantage: dmz, zone: z1, row: r1, room: m1}\ntarget_files: [\"*.targets.yml\"]\ntargets:\n")
	entry := func(b *strings.Builder, name, moduleConfig string) {
		fmt.Fprintf(b, "  - {name: %s, hosts: [127.0.0.1], modules: [%s], authorization: {owner: me}, labels: {env: prod, rack: r2, row: r3}}\n", name, moduleConfig)
	}
	var want []string
	for i := range 50 {
		for _, m := range []string{"b", "a"} { // in the order of the target
			want = append(want, fmt.Sprintf("t%d/%s", 50-i, m))
		}
		entry(&main, fmt.Sprintf("t%d", 50-i), "b, a")
	}
	entry(&more, "extra", "c")
	want = append(want, "extra/c")
	text := main.String()
	var first string
	for range 2 {
		h := newHarness(t, strings.Replace(text, "\"*.targets.yml\"", "", 1), nil, nil)
		writeFile(t, filepath.Join(filepath.Dir(h.file), "x.targets.yml"), more.String())
		writeFile(t, h.file, text)
		for range 3 {
			if err := h.reloader.Reload(); err != nil {
				t.Fatal(err)
			}
			w := h.discovery(t, "exporter:1")
			var names []string
			for _, g := range groups(t, w) {
				names = append(names, g.Labels["__param_target"]+"/"+g.Labels["__param_module"])
			}
			if diff := cmp.Diff(want, names); diff != "" {
				t.Fatalf("entries (-want +got):\n%s", diff)
			}
			if first == "" {
				first = w.Body.String()
			}
			if w.Body.String() != first {
				t.Fatalf("got two responses for one configuration:\n%s\n%s", first, w.Body)
			}
		}
	}
}

// TestDiscoveryAfterFailedReload checks that invalid configurations of several
// kinds leave the response unchanged.
func TestDiscoveryAfterFailedReload(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	for name, breakConfig := range map[string]func(t *testing.T, file string){
		"empty file":   func(t *testing.T, file string) { t.Helper(); writeFile(t, file, "") },
		"invalid YAML": func(t *testing.T, file string) { t.Helper(); writeFile(t, file, "targets: [") },
		"unknown key":  func(t *testing.T, file string) { t.Helper(); writeFile(t, file, text+"color: blue\n") },
		"invalid target": func(t *testing.T, file string) {
			t.Helper()
			writeFile(t, file, "modules: {m: {ports: 1}}\ntargets: [{}]\n")
		},
		"missing target file": func(t *testing.T, file string) { t.Helper(); writeFile(t, file, text+"target_files: [gone.yml]\n") },
		"missing file": func(t *testing.T, file string) {
			t.Helper()
			if err := os.Remove(file); err != nil {
				t.Fatal(err)
			}
		},
	} {
		h := newHarness(t, text, nil, nil)
		before := h.discovery(t, "exporter:1").Body.String()
		breakConfig(t, h.file)
		if err := h.reloader.Reload(); err == nil {
			t.Errorf("%s: Reload succeeded, want an error", name)
		}
		if after := h.discovery(t, "exporter:1"); after.Code != http.StatusOK || after.Body.String() != before {
			t.Errorf("%s: the response was\n%s\nand is now %d\n%s", name, before, after.Code, after.Body)
		}
	}
}

// TestDiscoveryScrapeTimes checks that scrape intervals and timeouts are valid for
// Prometheus: both or neither, in milliseconds, the timeout within the interval.
func TestDiscoveryScrapeTimes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		module            string
		offset            time.Duration
		interval, timeout string
	}{
		{"timeout: 9s", 500 * time.Millisecond, "", ""},
		{"timeout: 9s, scrape_interval: 0s", 500 * time.Millisecond, "", ""},
		{"timeout: 10s, scrape_interval: 1m", 500 * time.Millisecond, "60000ms", "10500ms"},
		{"timeout: 20m, scrape_interval: 10m", 500 * time.Millisecond, "600000ms", "600000ms"},
		{"timeout: 9500ms, scrape_interval: 10s", 500 * time.Millisecond, "10000ms", "10000ms"},
		{"timeout: 9501ms, scrape_interval: 10s", 500 * time.Millisecond, "10000ms", "10000ms"},
		{"timeout: 1ms, scrape_interval: 1ms", 0, "1ms", "1ms"},
		{"timeout: 1s, scrape_interval: 1y", 0, "31536000000ms", "1000ms"},
		{"timeout: 1y, scrape_interval: 1y", time.Hour, "31536000000ms", "31536000000ms"},
		{"timeout: 1s, scrape_interval: 2s", 400 * time.Microsecond, "2000ms", "1001ms"},
	} {
		text := "modules: {m: {ports: 1, " + tc.module + "}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n"
		h := newHarness(t, text, nil, func(o *server.Options) { o.TimeoutOffset = tc.offset })
		labels := groups(t, h.discovery(t, "exporter:1"))[0].Labels
		interval, hasInterval := labels["__scrape_interval__"]
		timeout, hasTimeout := labels["__scrape_timeout__"]
		if interval != tc.interval || timeout != tc.timeout || hasInterval != (tc.interval != "") || hasTimeout != hasInterval {
			t.Errorf("%s, offset %v: got %q and %q, want %q and %q", tc.module, tc.offset, interval, timeout, tc.interval, tc.timeout)
		}
	}
}
