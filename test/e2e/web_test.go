// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"mime"
	"net/http"
	"strings"
	"testing"
)

// fetchPage sends a request without following redirects.
func fetchPage(t *testing.T, method, url string) response {
	t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := *client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	p, err := send(&c, req)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestPprofFlag checks that profiling is available only if it is enabled.
func TestPprofFlag(t *testing.T) {
	t.Parallel()
	paths := []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=2", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/profile?seconds=1"}
	without, with := startExporter(t, targetsConfig("own")), startExporter(t, targetsConfig("own"), "--web.enable-pprof")
	for _, path := range paths {
		wantStatus(t, without.url+path, http.StatusNotFound)
		wantStatus(t, with.url+path, http.StatusOK)
		checkSecurityHeaders(t, with, "GET", path, fetchPage(t, "GET", with.url+path))
	}
}

// checkSecurityHeaders fails the test unless the headers forbid scripts, content sniffing and
// frames.
func checkSecurityHeaders(t *testing.T, e *exporter, method, path string, p response) {
	t.Helper()
	request := fmt.Sprintf("%s %s (%d)", method, strings.TrimPrefix(path, e.url), p.status)
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
		if got := p.header.Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s: %s = %q, want %q", request, name, got, want)
		}
	}
	policy := make(map[string]string)
	for directive := range strings.SplitSeq(p.header.Get("Content-Security-Policy"), ";") {
		name, sources, _ := strings.Cut(strings.TrimSpace(directive), " ")
		policy[name] = sources
	}
	if policy["default-src"] != "'none'" || policy["frame-ancestors"] != "'none'" || policy["base-uri"] != "'none'" {
		t.Errorf("%s: policy = %q", request, policy)
	}
	for name, sources := range policy {
		script := strings.HasPrefix(name, "script-src") && (sources != "'self'" || !strings.HasPrefix(p.header.Get("Content-Type"), "text/html"))
		if script || strings.Contains(sources, "unsafe") || strings.Contains(sources, "*") {
			t.Errorf("%s: policy allows %s %s", request, name, sources)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	e := startExporter(t, twoModulesConfig)
	e.probe(t, "target=own")
	for _, r := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/", 200},
		{"HEAD", "/", 200},
		{"GET", "/target/own", 200},
		{"GET", "/style.css", 200},
		{"GET", "/script.js", 200},
		{"GET", "/icon.svg", 200},
		{"GET", "/config", 200},
		{"GET", "/sd", 200},
		{"GET", "/metrics", 200},
		{"GET", "/logs?id=1", 200},
		{"GET", "/probe?target=own", 200},
		{"GET", "/probe?target=own&debug=true", 200},
		{"GET", "/-/healthy", 200},
		{"GET", "/-/ready", 200},
		{"POST", "/-/reload", 200},
		{"GET", "/probe", 400},
		{"GET", "/logs?id=x", 400},
		{"GET", "/../etc/passwd", 400},
		{"GET", "/probe?target=unknown", 403},
		{"GET", "/nowhere", 404},
		{"GET", "/target/unknown", 404},
		{"GET", "/debug/pprof/", 404},
		{"GET", "/logs?id=99999", 404},
		{"GET", "/-/reload", 405},
		{"DELETE", "/", 405},
	} {
		p := fetchPage(t, r.method, e.url+r.path)
		if p.status != r.status {
			t.Errorf("%s %s: status = %d, want %d", r.method, r.path, p.status, r.status)
		}
		checkSecurityHeaders(t, e, r.method, r.path, p)
	}
	replaceFile(t, e.config, badConfig("own"))
	if p := fetchPage(t, "POST", e.url+"/-/reload"); p.status != 500 {
		t.Errorf("POST /-/reload with an invalid file = %d, want 500", p.status)
	} else {
		checkSecurityHeaders(t, e, "POST", "/-/reload", p)
	}

	below := startPrefixedExporter(t, "/ports", "--web.route-prefix=/ports")
	for path, status := range map[string]int{"/ports/": 200, "/": 302, "/nowhere": 404} { // a page, the redirect to it, and a path outside of the prefix
		p := fetchPage(t, "GET", "http://"+below.addr+path)
		if p.status != status {
			t.Errorf("with a prefix, GET %s: status = %d, want %d", path, p.status, status)
		}
		checkSecurityHeaders(t, below, "GET", path, p)
	}
}

// markup must not reach a browser unescaped.
const markup = `<script>alert(1)</script>"'&`

// markupConfig has markup in each field that allows any text.
func markupConfig(host string) string {
	quoted := "'" + strings.ReplaceAll(markup, "'", "''") + "'"
	return strings.NewReplacer("EVIL", quoted, "HOST", host).Replace(`modules:
  few: {ports: "1-10"}
targets:
  - name: own
    hosts: [HOST]
    modules: [few]
    authorization: {owner: EVIL, reference: EVIL}
    labels: {env: EVIL}
external_labels: {vantage: EVIL}
`)
}

// TestMarkupEscaped has markup in the configuration and in requests.
func TestMarkupEscaped(t *testing.T) {
	t.Parallel()
	e := startExporter(t, markupConfig("127.0.0.77"))
	url := func(path string) string {
		return e.url + strings.NewReplacer("EVIL", "%3Cscript%3Ealert(1)%3C/script%3E%22'%26").Replace(path)
	}
	index, target := "", ""
	for _, path := range []string{
		"/probe?target=own", "/probe?target=own&debug=true", "/", "/target/own", "/config", "/sd", "/logs?id=1", "/metrics",
		"/probe?target=EVIL", "/probe?target=own&module=EVIL", "/probe?target=own&debug=EVIL", "/probe?EVIL=1", "/logs?id=EVIL", "/EVIL", "/?EVIL", "/target/EVIL", "/target/own?module=EVIL", "/target/own?address=EVIL",
	} {
		p := fetchPage(t, "GET", url(path))
		checkMarkupInert(t, path, p)
		checkSecurityHeaders(t, e, "GET", path, p)
		switch path {
		case "/":
			index = p.body
		case "/target/own":
			target = p.body
		}
	}
	const escaped = "&lt;script&gt;alert(1)&lt;/script&gt;&#34;&#39;&amp;"
	if n := strings.Count(index, escaped); n < 2 {
		t.Errorf("status page has %d escaped texts, want the owner and the reference:\n%s", n, index)
	}
	if n := strings.Count(target, escaped); n != 3 {
		t.Errorf("target page has %d escaped texts, want the owner, the reference and the label:\n%s", n, target)
	}
	checkLabelsVerbatim(t, e)

	// An invalid host name appears in the error, which must be harmless, too.
	replaceFile(t, e.config, markupConfig(`"<script>alert(1)</script>"`))
	p := fetchPage(t, "POST", e.url+"/-/reload")
	if p.status != http.StatusInternalServerError || !strings.Contains(p.body, "<script>") {
		t.Errorf("POST /-/reload = %d, want 500 and the host name: %s", p.status, p.body)
	}
	checkMarkupInert(t, "/-/reload", p)
}

// ownScript is the script of the pages.
const ownScript = `<script src="/script.js" defer></script>`

// checkMarkupInert fails the test if a browser would interpret markup in the response.
func checkMarkupInert(t *testing.T, path string, p response) {
	t.Helper()
	kind, _, err := mime.ParseMediaType(p.header.Get("Content-Type"))
	switch {
	case err != nil:
		t.Errorf("%s: Content-Type = %q", path, p.header.Get("Content-Type"))
	case kind == "text/html":
		if strings.Count(p.body, "<script") != strings.Count(p.body, ownScript) || strings.Contains(p.body, `"'&`) {
			t.Errorf("%s: unescaped markup in the page:\n%s", path, p.body)
		}
	case kind != "text/plain" && kind != "application/json":
		t.Errorf("%s: Content-Type = %s, which a browser may execute", path, kind)
	}
	if p.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s: X-Content-Type-Options is not nosniff", path)
	}
	if path == "/" && kind != "text/html" {
		t.Errorf("status page has Content-Type %s, want text/html", kind)
	}
}

// checkLabelsVerbatim checks that Prometheus receives the configured texts unchanged.
func checkLabelsVerbatim(t *testing.T, e *exporter) {
	t.Helper()
	inMetrics := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(markup)
	e.probe(t, "target=own").wantValue(t, fmt.Sprintf(`portscan_target_info{owner="%[1]s",reference="%[1]s",target="own"}`, inMetrics), 1)
	var groups []struct{ Labels map[string]string }
	getJSON(t, e.url+"/sd", &groups)
	if len(groups) != 1 || groups[0].Labels["env"] != markup || groups[0].Labels["vantage"] != markup {
		t.Errorf("/sd = %v, want the configured labels", groups)
	}
}
