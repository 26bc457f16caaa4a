package server_test

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/server"
)

type group struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

func groups(t *testing.T, w *httptest.ResponseRecorder) []group {
	t.Helper()
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("/sd answers %d, %s", w.Code, w.Header().Get("Content-Type"))
	}
	var all []group
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestDiscovery(t *testing.T) {
	t.Parallel()
	text, _ := local(t)
	h := build(t, text, nil, nil)
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
		t.Error("an entry without a scrape interval has a scrape timeout: Prometheus wants both or neither")
	}
}

func TestDiscoveryWhereWeAreReached(t *testing.T) {
	t.Parallel()
	text, _ := local(t)
	for name, tc := range map[string]struct {
		url, external, prefix string
		tls                   bool
		host, scheme, path    string
	}{
		"as asked":          {url: "http://10.0.0.1:1/sd", host: "10.0.0.1:1", scheme: "http", path: "/probe"},
		"IPv6":              {url: "http://[2001:db8::1]:1/sd", host: "[2001:db8::1]:1", scheme: "http", path: "/probe"},
		"IPv6, no port":     {url: "http://[2001:db8::1]/sd", host: "[2001:db8::1]:80", scheme: "http", path: "/probe"},
		"no port":           {url: "http://exporter/sd", host: "exporter:80", scheme: "http", path: "/probe"},
		"TLS":               {url: "https://exporter/sd", tls: true, host: "exporter:443", scheme: "https", path: "/probe"},
		"a route prefix":    {url: "http://exporter:1/p/sd", prefix: "/p/", host: "exporter:1", scheme: "http", path: "/p/probe"},
		"an external URL":   {url: "http://10.0.0.1:1/p/sd", external: "https://x.example.org/p/", prefix: "p", host: "x.example.org:443", scheme: "https", path: "/p/probe"},
		"a proxy that cuts": {url: "http://10.0.0.1:1/sd", external: "https://x.example.org:8443/p", prefix: "/", host: "x.example.org:8443", scheme: "https", path: "/p/probe"},
	} {
		h := build(t, text, nil, func(o *server.Options) {
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

func TestDiscoveryNeverLiesEmpty(t *testing.T) {
	t.Parallel()
	text, _ := local(t)
	h := build(t, text, nil, nil)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/sd", nil)
	r.Host = ""
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusInternalServerError {
		t.Errorf("without a host: %d, %s", w.Code, w.Body)
	}
	h = build(t, "modules: {m: {ports: 1}}\ntargets: []\n", nil, nil)
	if w := h.get(t, "/sd"); w.Code != http.StatusOK || w.Body.String() != "[]\n" {
		t.Errorf("without targets: %d, %q; want []", w.Code, w.Body)
	}
}
