// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"portscan_exporter/internal/server"
)

// TestCrossOriginReload sends requests as browsers and other clients do.
func TestCrossOriginReload(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	external, err := url.Parse("https://Ports.example.org:443/exporter")
	if err != nil {
		t.Fatal(err)
	}
	plain := newHarness(t, text, nil, nil)
	proxied := newHarness(t, text, nil, func(o *server.Options) { o.ExternalURL = external })
	for name, tc := range map[string]struct {
		h       *harness
		headers []string
		want    int
	}{
		"curl":                       {plain, nil, 200},
		"same origin":                {plain, []string{"Sec-Fetch-Site", "same-origin", "Origin", "http://exporter:10115"}, 200},
		"same origin, no metadata":   {plain, []string{"Origin", "http://exporter:10115"}, 200},
		"typed":                      {plain, []string{"Sec-Fetch-Site", "none"}, 200},
		"cross site":                 {plain, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"same site":                  {plain, []string{"Sec-Fetch-Site", "same-site", "Origin", "http://exporter:8080"}, 403},
		"cross site, no metadata":    {plain, []string{"Origin", "https://evil.example"}, 403},
		"other port, no metadata":    {plain, []string{"Origin", "http://exporter:8080"}, 403},
		"sandbox":                    {plain, []string{"Origin", "null"}, 403},
		"proxy":                      {proxied, []string{"Origin", "https://ports.example.org"}, 200},
		"proxy, its host":            {proxied, []string{"Origin", "http://exporter:10115"}, 200},
		"proxy, other scheme":        {proxied, []string{"Origin", "http://ports.example.org"}, 403},
		"proxy, other port":          {proxied, []string{"Origin", "https://ports.example.org:8443"}, 403},
		"proxy, cross site":          {proxied, []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, 403},
		"no proxy, its external URL": {plain, []string{"Origin", "https://ports.example.org"}, 403},
	} {
		reloads := func() string {
			_, value, _ := strings.Cut(tc.h.get(t, "/metrics").Body.String(), "\nportscan_exporter_config_last_reload_success_timestamp_seconds ")
			return strings.SplitN(value, "\n", 2)[0]
		}
		before := reloads()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "http://exporter:10115/-/reload", nil)
		for i := 0; i < len(tc.headers); i += 2 {
			r.Header.Set(tc.headers[i], tc.headers[i+1])
		}
		w := httptest.NewRecorder()
		tc.h.ServeHTTP(w, r)
		if w.Code != tc.want {
			t.Errorf("%s: got status %d, want %d: %s", name, w.Code, tc.want, w.Body)
		}
		if w.Code == http.StatusForbidden && (strings.Count(w.Body.String(), "\n") != 1 || reloads() != before) {
			t.Errorf("%s: got %q, want one line and no reload", name, w.Body)
		}
	}
}
