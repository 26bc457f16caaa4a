// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
)

// TestIndexStatuses checks each status.
func TestIndexStatuses(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, stubLookup{netip.MustParseAddr("203.0.113.1")}, nil)
	want := func(target, module string, words ...string) {
		t.Helper()
		wantTexts(t, target+" with "+module, s.statusRow(t, target, module), words...)
	}
	want("web", "few", "never scanned", "probe debug")
	want("ended", "few", "authorization expired 2020-01-02")
	if row := s.statusRow(t, "ended", "few"); strings.Contains(row, "probe") {
		t.Errorf("got a link to a refused probe: %s", row)
	}

	s.setState(scan.Open, "192.0.2.1:22", "192.0.2.1:80", "192.0.2.1:95")
	s.get(t, "/probe?target=web")
	want("web", "few", "as expected", "probe debug log few 192.0.2.1 3 0", "net &lt;team&gt;")
	s.setState(scan.Open, "192.0.2.1:8", "192.0.2.1:9")
	s.setState(scan.Filtered, "192.0.2.1:22")
	s.get(t, "/probe?target=web")
	want("web", "few", "violating", "unexpected: 8-9 missing: 22", " ago web few probe", "few 192.0.2.1 8-9 22 4 0")
	s.setState(scan.Unknown, "192.0.2.1:22", "192.0.2.1:80")
	s.get(t, "/probe?target=web")
	want("web", "few", "violating and incomplete, 2 ports unknown", "few 192.0.2.1 8-9 3 2")
	s.setState(scan.Closed, "192.0.2.1:8", "192.0.2.1:9")
	s.get(t, "/probe?target=web")
	want("web", "few", "incomplete 2 ports unknown", "few 192.0.2.1 1 2")

	s.setState(scan.OpenFiltered, "192.0.2.1:53", "192.0.2.1:161")
	s.get(t, "/probe?target=web&module=udp")
	want("web", "udp", "as expected", "udp 192.0.2.1 0 0")
	s.get(t, "/probe?target=named")
	want("named", "few", "incomplete", "name resolves outside networks")
	s.setState(scan.Open, "192.0.2.33:22", "192.0.2.34:7", "[2001:db8::7]:22", "[2001:db8::7]:7")
	s.get(t, "/probe?target=rack")
	want("rack", "few", "violating", "7 on 2 addresses 22 on 1 address 4 0")
	wantTexts(t, "status page", s.getPage(t, "/"), "<title>1 violating · portscan_exporter</title>",
		`<li class="violating"><b>1</b>`, `<li class="incomplete"><b>2</b>`, `<li class="expired"><b>1</b>`, `<li class="never"><b>1</b>`, `<li class="expected"><b>1</b>`)
}

// TestStatusTableHeadings checks the columns of the tables of statuses on both pages.
func TestStatusTableHeadings(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	for path, want := range map[string]string{
		"/":           "Status Target Links Module Hosts Unexpected Missing Open Unknown Age Duration Owner",
		"/target/web": "Status Module Links Unexpected Missing Open Unknown Age Duration",
	} {
		_, table, _ := strings.Cut(s.getPage(t, path), `<table class="statuses sortable"`)
		_, table, _ = strings.Cut(table, "<thead>")
		head, _, _ := strings.Cut(table, "</thead>")
		if got := strings.TrimSpace(plainText(head)); got != want {
			t.Errorf("headings of %s = %q, want %q", path, got, want)
		}
	}
}

// TestIndexOrder checks that the worst status is first.
func TestIndexOrder(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, stubLookup{netip.MustParseAddr("203.0.113.1")}, nil)
	for _, q := range []string{"web&module=udp", "rack", "named"} {
		s.get(t, "/probe?target="+q)
	}
	var got []string
	for _, m := range regexp.MustCompile(`<tr class="(\w+)" `).FindAllStringSubmatch(s.getPage(t, "/"), -1) {
		got = append(got, m[1])
	}
	if want := "violating incomplete expired never never expected"; strings.Join(got, " ") != want {
		t.Errorf("got rows %v, want %s", got, want)
	}
}

// TestIndexStaleResult checks cached results before and after they become stale.
func TestIndexStaleResult(t *testing.T) {
	t.Parallel()
	results := &agedResults{}
	s := newScenario(t, scenarioConfig, nil, func(o *server.Options) { results.Results, o.Results = o.Results, results })
	s.get(t, "/probe?target=aged")
	wantTexts(t, "row", s.statusRow(t, "aged", "kept"), "as expected no expectations")
	results.by = 89 * time.Minute
	wantTexts(t, "row", s.statusRow(t, "aged", "kept"), "as expected no expectations")
	results.by = 91 * time.Minute
	wantTexts(t, "row", s.statusRow(t, "aged", "kept"), "incomplete older than max_age + timeout", "1h 31m")
	wantTexts(t, "target's page", s.getPage(t, "/target/aged"), "Changes since the last scan")
}

// agedResults shifts results into the past.
type agedResults struct {
	server.Results

	by time.Duration
}

func (l *agedResults) Summaries() (all []*store.Summary) {
	for _, s := range l.Results.Summaries() {
		older := *s
		older.Started, older.Finished = s.Started.Add(-l.by), s.Finished.Add(-l.by)
		all = append(all, &older)
	}
	return all
}

func (l *agedResults) TargetViews(target string) (all []*store.TargetView) {
	for _, s := range l.Results.TargetViews(target) {
		older := *s
		older.Started, older.Finished = s.Started.Add(-l.by), s.Finished.Add(-l.by)
		all = append(all, &older)
	}
	return all
}

// TestIndexRecentProbes checks the tables of failed and complete probes and the
// links to logs.
func TestIndexRecentProbes(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, stubLookup{netip.MustParseAddr("203.0.113.1")}, nil)
	s.get(t, "/probe?target=named")
	for range 5 {
		s.get(t, "/probe?target=web")
	}
	page := s.getPage(t, "/")
	failed, complete := sectionText(t, page, "failed"), sectionText(t, page, "complete")
	if strings.Count(failed, "named few") != 1 || strings.Count(complete, "web few") != 3 || strings.Contains(failed, "web") || strings.Contains(complete, "named") {
		t.Errorf("got failed probes %s\nand complete probes %s", failed, complete)
	}
	wantTexts(t, "page", page, `href="/logs?id=6"`, `href="/logs?id=1"`)
	if n := strings.Count(page, `href="/logs?id=6"`); n != 2 {
		t.Errorf("got %d links to the last log, want one for the target and one for the probe", n)
	}
}

// TestPagesScanInProgress checks the progress of a scan on both pages.
func TestPagesScanInProgress(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, func(o *server.Options) { o.Scans = scansInProgress{o.Scans} })
	wantTexts(t, "row", s.statusRow(t, "web", "few"), "never scanned", "41 %")
	wantTexts(t, "target's page", plainText(s.getPage(t, "/target/web?module=udp")), "Scan with few in progress, started 1m ", " ago: 41 % 41 % Refresh")
	writeFile(t, s.file, strings.Replace(s.text, "2099-01-01", "2020-01-01", 1))
	if err := s.reloader.Reload(); err != nil {
		t.Fatal(err)
	}
	wantTexts(t, "page of an expired target", plainText(s.getPage(t, "/target/web")), "The scan in progress is being canceled. The target is not scanned")
}

// scansInProgress reports one scan in progress.
type scansInProgress struct{ server.Scans }

func (scansInProgress) UnderWay() []coordinator.UnderWay {
	return []coordinator.UnderWay{{Target: "web", Module: "few", Started: time.Now().Add(-time.Minute - 30*time.Second), Progress: 0.415}}
}

// TestPagesLinksBelowPrefix follows every link of the pages.
func TestPagesLinksBelowPrefix(t *testing.T) {
	t.Parallel()
	external, err := url.Parse("https://ports.example.org/exporter/")
	if err != nil {
		t.Fatal(err)
	}
	s := newScenario(t, scenarioConfig, nil, func(o *server.Options) { o.ExternalURL, o.RoutePrefix = external, "/exporter" })
	s.get(t, "/exporter/probe?target=web")
	seen := map[string]bool{"/exporter/": true, "/exporter/target/web?module=few": true}
	for _, page := range slices.Sorted(maps.Keys(seen)) {
		for _, m := range regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(s.getPage(t, page), -1) {
			link := strings.ReplaceAll(m[1], "&amp;", "&")
			if seen[link] {
				continue
			}
			seen[link] = true
			if w := s.get(t, link); w.Code != 200 {
				t.Errorf("%s links to %s: got status %d, want 200", page, link, w.Code)
			}
		}
	}
	if n := len(seen); n < 20 {
		t.Errorf("got %d links, want at least 20: %v", n, slices.Sorted(maps.Keys(seen)))
	}
}

// TestPagesEscapeMarkup checks texts of the configuration that contain markup.
func TestPagesEscapeMarkup(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	s.get(t, "/probe?target=web")
	for _, path := range []string{"/", "/target/web"} {
		page := s.getPage(t, path)
		for _, bad := range []string{"<team>", "<b>CHG", "<script>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has unescaped %s", path, bad)
			}
		}
		for _, odd := range []string{" style=", " onclick", "<style", "http://", "https://"} {
			if strings.Contains(page, odd) {
				t.Errorf("%s has %q, which its policy blocks", path, odd)
			}
		}
	}
	wantTexts(t, "target's page", s.getPage(t, "/target/web"), "net &lt;team&gt;", "&lt;b&gt;CHG-1&lt;/b&gt;", "note: &lt;script&gt;alert(1)&lt;/script&gt;")
	if csp := s.get(t, "/").Header().Get("Content-Security-Policy"); csp != "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'" {
		t.Errorf("got page policy %q", csp)
	}
	if csp := s.get(t, "/config").Header().Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("got policy %q for /config, want no scripts", csp)
	}
}
