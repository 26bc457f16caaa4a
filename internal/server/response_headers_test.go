// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/server"
)

// writeDeadlineRecorder records the write deadline of a response.
type writeDeadlineRecorder struct {
	*httptest.ResponseRecorder

	deadline time.Time
}

func (r *writeDeadlineRecorder) SetWriteDeadline(t time.Time) error {
	r.deadline = t
	return nil
}

// TestWriteDeadlines requires a write deadline for each path. Those of profiles must include
// the time in which they are recorded, with a route prefix, too.
func TestWriteDeadlines(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	for _, prefix := range []string{"", "/exporter"} {
		h := newHarness(t, text, nil, func(o *server.Options) { o.Pprof, o.RoutePrefix = true, prefix })
		for path, want := range map[string]time.Duration{
			"/": 30 * time.Second, "/nowhere": 30 * time.Second, "/metrics": 30 * time.Second, "//": 30 * time.Second,
			"/probe": 30 * time.Second, "/probe?target=local": 15 * time.Second,
			"/debug/pprof/": time.Minute, "/debug/pprof/cmdline": time.Minute, "/debug/pprof/heap?seconds=0": time.Minute,
			"/debug/pprof/symbol?seconds=35": 65 * time.Second, "/debug/pprof/nothing?seconds=7200": 2*time.Hour + 30*time.Second,
			"/debug/pprof/nothing?seconds=1e300": 24*time.Hour + 30*time.Second,
		} {
			w := &writeDeadlineRecorder{ResponseRecorder: httptest.NewRecorder()}
			arrived := time.Now()
			h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, prefix+path, nil))
			if got := w.deadline.Sub(arrived); got < want || got > want+time.Since(arrived) {
				t.Errorf("GET %s%s: got a write deadline after %v, want %v", prefix, path, got, want)
			}
		}
	}
}

func TestPprofBelowPrefix(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	for _, prefix := range []string{"", "/exporter"} {
		h := newHarness(t, text, nil, func(o *server.Options) { o.Pprof, o.RoutePrefix = true, prefix })
		for path, want := range map[string]string{"/debug/pprof/": "/debug/pprof/", "/debug/pprof/goroutine?debug=1": "goroutine profile:", "/debug/pprof/cmdline": "server"} {
			if w := h.get(t, prefix+path); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
				t.Errorf("GET %s%s: got status %d, want 200 and %q: %s", prefix, path, w.Code, want, w.Body)
			}
		}
		for _, path := range []string{prefix + "/debug/pprof", prefix} {
			if w := h.get(t, "http://exporter"+path); path != "" && w.Header().Get("Location") != path+"/" {
				t.Errorf("GET %s: got status %d to %q, want a redirect to %s/", path, w.Code, w.Header().Get("Location"), path)
			}
		}
	}
}

// TestCacheControl requires that no answer is cached, and that files of pages are revalidated.
func TestCacheControl(t *testing.T) {
	t.Parallel()
	text, _ := localConfig(t)
	h := newHarness(t, text, nil, nil)
	for _, path := range []string{
		"/", "/probe?target=local", "/probe?target=local&debug=true", "/probe?target=nobody", "/probe", "/sd", "/metrics", "/config", "/target/local",
		"/logs?id=1", "/logs?id=99", "/-/healthy", "/-/ready", "/-/reload", "/nowhere", "/target/nobody", "//",
	} {
		if got := h.get(t, path).Header().Values("Cache-Control"); len(got) != 1 || got[0] != "no-store" {
			t.Errorf("GET %s: Cache-Control = %q, want no-store", path, got)
		}
	}
	tags := make(map[string]bool)
	for _, path := range []string{"/style.css", "/script.js", "/icon.svg"} {
		w := h.get(t, path)
		tag := w.Header().Get("Etag")
		if got := w.Header().Get("Cache-Control"); got != "no-cache" || tag == "" || w.Body.Len() == 0 {
			t.Errorf("GET %s: Cache-Control = %q, Etag = %q, %d bytes, want no-cache, a tag and a file", path, got, tag, w.Body.Len())
		}
		tags[tag] = true
		if again := h.get(t, path, "If-None-Match", tag); again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("GET %s again: got status %d, want 304", path, again.Code)
		}
	}
	if len(tags) != 3 {
		t.Errorf("got %d tags, want one for each file", len(tags))
	}
}
