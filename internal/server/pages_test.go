package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
)

// stage is a house whose scans show what the test says.
type stage struct {
	*house

	text   string
	states map[string]scan.State // by address and port; the others are closed
	scans  *coordinator.Coordinator
}

// Scan implements [scan.Scanner].
func (s *stage) Scan(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	causes := map[scan.State]scan.Cause{
		scan.Open: scan.CauseHandshake, scan.Closed: scan.CauseRST, scan.Filtered: scan.CauseSilence,
		scan.OpenFiltered: scan.CauseSilence, scan.Unknown: scan.CauseNoRoute,
	}
	for _, a := range req.Addresses() {
		for port := range req.Plan().Ports().All() {
			r := scan.PortResult{Address: a.IP, Port: port, State: scan.Closed, Attempts: 1, RTT: 1500 * time.Microsecond}
			if state, ok := s.states[netip.AddrPortFrom(a.IP, port).String()]; ok {
				r.State = state
			}
			r.Cause = causes[r.State]
			report(r)
		}
	}
	return nil
}

// newStage builds a stage over the text of a configuration.
func newStage(tb testing.TB, text string, names stub, change func(*server.Options)) *stage {
	tb.Helper()
	s := &stage{text: text, states: make(map[string]scan.State)}
	resolver, err := resolve.New(names)
	if err != nil {
		tb.Fatal(err)
	}
	s.scans, err = coordinator.New(coordinator.Options{
		Resolver: resolver, MaxScans: 8, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{
			{Protocol: scan.TCP, Method: scan.Connect}: s, {Protocol: scan.UDP, Method: scan.Connect}: s,
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.scans.Close)
	s.house = build(tb, text, names, func(o *server.Options) {
		o.Scans = s.scans
		if change != nil {
			change(o)
		}
	})
	return s
}

// set has ports in a state, as in "192.0.2.1:80".
func (s *stage) set(state scan.State, ports ...string) {
	for _, p := range ports {
		s.states[p] = state
	}
}

// show asks for a page, which must be there.
func (s *stage) show(tb testing.TB, path string) string {
	tb.Helper()
	w := s.get(tb, path)
	if w.Code != 200 {
		tb.Fatalf("%s answers %d: %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// row returns the row of the status page for a target and module, without its markup.
func (s *stage) row(tb testing.TB, target, module string) string {
	tb.Helper()
	for r := range strings.SplitSeq(s.show(tb, "/"), "<tr ") {
		if strings.Contains(r, fmt.Sprintf(`<a href="/target/%s?module=%s">`, target, module)) {
			_, cells, _ := strings.Cut(r, ">")
			return plain(cells)
		}
	}
	tb.Fatalf("%s with %s is not on the status page", target, module)
	return ""
}

var markup = regexp.MustCompile(`(?s)<[^>]*>`)

// plain is what a reader sees of a page, in one line.
func plain(html string) string {
	return strings.Join(strings.Fields(markup.ReplaceAllString(html, " ")), " ")
}

// section returns the plain text of a part of a target's page.
func section(tb testing.TB, page, id string) string {
	tb.Helper()
	_, part, ok := strings.Cut(page, `<section aria-labelledby="`+id+`">`)
	if !ok {
		tb.Fatalf("there is no section %s in %s", id, page)
	}
	part, _, _ = strings.Cut(part, "</section>")
	return plain(part)
}

const stageConfig = `
modules:
  few: {ports: "1-100", timeout: 5s}
  kept: {ports: "1-100", timeout: 30m, max_age: 1h}
  udp: {protocol: udp, ports: "53,161", timeout: 5s}
targets:
  - name: web
    hosts: [192.0.2.1]
    modules: [few, udp]
    authorization: {owner: "net <team>", reference: "<b>CHG-1</b>", expires: 2099-01-01}
    expect: {tcp: {open: "22,80", allow: "90-99"}, udp: {}}
    labels: {note: "<script>alert(1)</script>"}
  - name: rack
    hosts: [192.0.2.32/30, "2001:db8::7"]
    exclude_hosts: [198.51.100.0/24]
    modules: [few]
    authorization: {owner: me}
    expect: {tcp: {open: "22"}}
  - name: ended
    hosts: [192.0.2.2]
    modules: [few]
    authorization: {owner: me, reference: OLD-1, expires: 2020-01-01}
  - name: named
    hosts: [www.example.org]
    networks: [192.0.2.0/24]
    modules: [few]
    authorization: {owner: me}
  - name: aged
    hosts: [192.0.2.3]
    modules: [kept]
    authorization: {owner: me}
`

// TestVerdicts has a target in each of the five.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, stub{netip.MustParseAddr("203.0.113.1")}, nil)
	want := func(target, module string, words ...string) {
		t.Helper()
		wantLines(t, target+" with "+module, s.row(t, target, module), words...)
	}
	want("web", "few", "never scanned", "probe debug")
	want("ended", "few", "authorization expired 2020-01-02")
	if row := s.row(t, "ended", "few"); strings.Contains(row, "probe") {
		t.Errorf("a probe that will be refused is offered: %s", row)
	}

	s.set(scan.Open, "192.0.2.1:22", "192.0.2.1:80", "192.0.2.1:95")
	s.get(t, "/probe?target=web")
	want("web", "few", "as expected", "probe debug log few 192.0.2.1 3 0", "net &lt;team&gt;")
	s.set(scan.Open, "192.0.2.1:8", "192.0.2.1:9")
	s.set(scan.Filtered, "192.0.2.1:22")
	s.get(t, "/probe?target=web")
	want("web", "few", "violating", "unexpected: 8-9 missing: 22", " ago web few probe", "few 192.0.2.1 8-9 22 4 0")
	s.set(scan.Unknown, "192.0.2.1:22", "192.0.2.1:80")
	s.get(t, "/probe?target=web")
	want("web", "few", "violating and incomplete, 2 ports unknown", "few 192.0.2.1 8-9 3 2")
	s.set(scan.Closed, "192.0.2.1:8", "192.0.2.1:9")
	s.get(t, "/probe?target=web")
	want("web", "few", "incomplete 2 ports unknown", "few 192.0.2.1 1 2")

	s.set(scan.OpenFiltered, "192.0.2.1:53", "192.0.2.1:161")
	s.get(t, "/probe?target=web&module=udp")
	want("web", "udp", "as expected", "udp 192.0.2.1 0 0")
	s.get(t, "/probe?target=named")
	want("named", "few", "incomplete", "name resolves outside networks")
	s.set(scan.Open, "192.0.2.33:22", "192.0.2.34:7", "[2001:db8::7]:22", "[2001:db8::7]:7")
	s.get(t, "/probe?target=rack")
	want("rack", "few", "violating", "7 on 2 addresses 22 on 1 address 4 0")
	wantLines(t, "the status page", s.show(t, "/"), "<title>1 violating · portscan_exporter</title>",
		`<li class="violating"><b>1</b>`, `<li class="incomplete"><b>2</b>`, `<li class="expired"><b>1</b>`, `<li class="never"><b>1</b>`, `<li class="expected"><b>1</b>`)
}

// TestWorstFirst has the verdicts in their order.
func TestWorstFirst(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, stub{netip.MustParseAddr("203.0.113.1")}, nil)
	for _, q := range []string{"web&module=udp", "rack", "named"} {
		s.get(t, "/probe?target="+q)
	}
	var got []string
	for _, m := range regexp.MustCompile(`<tr class="(\w+)" `).FindAllStringSubmatch(s.show(t, "/"), -1) {
		got = append(got, m[1])
	}
	if want := "violating incomplete expired never never expected"; strings.Join(got, " ") != want {
		t.Errorf("the rows are %v, want %s", got, want)
	}
}

// TestStale has a retained result grow older than it may.
func TestStale(t *testing.T) {
	t.Parallel()
	scans := &later{}
	s := newStage(t, stageConfig, nil, func(o *server.Options) { scans.Scans, o.Scans = o.Scans, scans })
	s.get(t, "/probe?target=aged")
	wantLines(t, "the row", s.row(t, "aged", "kept"), "as expected no expectations")
	scans.by = 89 * time.Minute
	wantLines(t, "the row", s.row(t, "aged", "kept"), "as expected no expectations")
	scans.by = 91 * time.Minute
	wantLines(t, "the row", s.row(t, "aged", "kept"), "incomplete older than max_age + timeout", "1h 31m")
	wantLines(t, "the target's page", s.show(t, "/target/aged"), "Changes since the last scan")
}

// later is scans that are looked at some time later.
type later struct {
	server.Scans

	by time.Duration
}

func (l *later) Summaries() []coordinator.Summary {
	all := l.Scans.Summaries()
	for i := range all {
		all[i].Started, all[i].Finished = all[i].Started.Add(-l.by), all[i].Finished.Add(-l.by)
	}
	return all
}

func (l *later) Sights(target string) (all []*coordinator.Sight) {
	for _, s := range l.Scans.Sights(target) {
		older := *s
		older.Started, older.Finished = s.Started.Add(-l.by), s.Finished.Add(-l.by)
		all = append(all, &older)
	}
	return all
}

// TestRecentProbes keeps the failed ones apart, and offers the last log.
func TestRecentProbes(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, stub{netip.MustParseAddr("203.0.113.1")}, nil)
	s.get(t, "/probe?target=named")
	for range 5 {
		s.get(t, "/probe?target=web")
	}
	page := s.show(t, "/")
	failed, good := section(t, page, "failed"), section(t, page, "complete")
	if strings.Count(failed, "named few") != 1 || strings.Count(good, "web few") != 3 || strings.Contains(failed, "web") || strings.Contains(good, "named") {
		t.Errorf("failed: %s\ngood: %s", failed, good)
	}
	wantLines(t, "the page", page, `href="/logs?id=6"`, `href="/logs?id=1"`)
	if n := strings.Count(page, `href="/logs?id=6"`); n != 2 {
		t.Errorf("the last log is linked %d times, want beside its target and among the probes", n)
	}
}

// TestUnderWay shows how far a scan is.
func TestUnderWay(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, nil, func(o *server.Options) { o.Scans = busy{o.Scans} })
	wantLines(t, "the row", s.row(t, "web", "few"), "never scanned", "41 %")
	wantLines(t, "the target's page", plain(s.show(t, "/target/web?module=udp")), "Scan with few in progress, started 1m ", " ago: 41 % 41 % Refresh")
	write(t, s.file, strings.Replace(s.text, "2099-01-01", "2020-01-01", 1))
	if err := s.reloader.Reload(); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "the page when the authorization has ended", plain(s.show(t, "/target/web")), "The scan in progress is being canceled. The target is not scanned")
}

// busy is scans of which one is under way.
type busy struct{ server.Scans }

func (busy) UnderWay() []coordinator.UnderWay {
	return []coordinator.UnderWay{{Target: "web", Module: "few", Started: time.Now().Add(-time.Minute - time.Millisecond), Progress: 0.415}}
}

// TestPagesBelowAPrefix follows every link of the pages.
func TestPagesBelowAPrefix(t *testing.T) {
	t.Parallel()
	external, err := url.Parse("https://ports.example.org/exporter/")
	if err != nil {
		t.Fatal(err)
	}
	s := newStage(t, stageConfig, nil, func(o *server.Options) { o.ExternalURL, o.RoutePrefix = external, "/exporter" })
	s.get(t, "/exporter/probe?target=web")
	seen := map[string]bool{"/exporter/": true, "/exporter/target/web?module=few": true}
	for _, page := range slices.Sorted(maps.Keys(seen)) {
		for _, m := range regexp.MustCompile(`(?:href|src)="(/[^"]*)"`).FindAllStringSubmatch(s.show(t, page), -1) {
			link := strings.ReplaceAll(m[1], "&amp;", "&")
			if seen[link] {
				continue
			}
			seen[link] = true
			if w := s.get(t, link); w.Code != 200 {
				t.Errorf("%s leads to %s, which answers %d", page, link, w.Code)
			}
		}
	}
	if n := len(seen); n < 20 {
		t.Errorf("there are %d links: %v", n, slices.Sorted(maps.Keys(seen)))
	}
}

// TestHTMLStaysText has markup in everything that an owner may write.
func TestHTMLStaysText(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, nil, nil)
	s.get(t, "/probe?target=web")
	for _, path := range []string{"/", "/target/web"} {
		page := s.show(t, path)
		for _, bad := range []string{"<team>", "<b>CHG", "<script>"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s has %s in it", path, bad)
			}
		}
		for _, odd := range []string{" style=", " onclick", "<style", "http://", "https://"} {
			if strings.Contains(page, odd) {
				t.Errorf("%s has %q, which its policy forbids", path, odd)
			}
		}
	}
	wantLines(t, "the target's page", s.show(t, "/target/web"), "net &lt;team&gt;", "&lt;b&gt;CHG-1&lt;/b&gt;", "note: &lt;script&gt;alert(1)&lt;/script&gt;")
	if csp := s.get(t, "/").Header().Get("Content-Security-Policy"); csp != "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'" {
		t.Errorf("the policy of pages is %q", csp)
	}
	if csp := s.get(t, "/config").Header().Get("Content-Security-Policy"); strings.Contains(csp, "script-src") {
		t.Errorf("the policy of the rest is %q", csp)
	}
}
