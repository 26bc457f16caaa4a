// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
)

// scenario is a harness whose scans return the states that the test sets.
type scenario struct {
	*harness

	text   string
	states map[string]scan.State     // by address and port; all others are closed
	errors map[string]scan.ICMPError // by address and port; these are filtered, or unresponsive if the state is unknown
	scans  *coordinator.Coordinator
}

// Scan implements [scan.Scanner].
func (s *scenario) Scan(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
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
			if r.Cause = causes[r.State]; r.Cause.Answered() {
				r.LastResponse = time.Now()
			}
			if e, ok := s.errors[netip.AddrPortFrom(a.IP, port).String()]; ok {
				withdrawn := r.State == scan.Unknown
				r.State, r.Cause, r.ICMP = scan.Filtered, scan.CauseICMP, e
				if withdrawn {
					report(r)
					r = scan.PortResult{Address: a.IP, Port: port, Cause: scan.CauseUnresponsive}
				}
			}
			report(r)
		}
	}
	return nil
}

// newScenario returns a scenario for the text of a configuration.
func newScenario(tb testing.TB, text string, names stubLookup, change func(*server.Options)) *scenario {
	tb.Helper()
	s := &scenario{text: text, states: make(map[string]scan.State), errors: make(map[string]scan.ICMPError)}
	resolver, err := resolve.New(resolve.Options{Ask: names.ask})
	if err != nil {
		tb.Fatal(err)
	}
	results, err := store.New(slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	s.scans, err = coordinator.New(coordinator.Options{
		Resolver: resolver, Store: results, MaxScans: 8, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{
			{Protocol: scan.TCP, Method: scan.Connect}: s, {Protocol: scan.UDP, Method: scan.Connect}: s,
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.scans.Close)
	s.harness = newHarness(tb, text, names, func(o *server.Options) {
		o.Scans, o.Results = s.scans, results
		if change != nil {
			change(o)
		}
	})
	return s
}

// setState sets the state of ports such as "192.0.2.1:80".
func (s *scenario) setState(state scan.State, ports ...string) {
	for _, p := range ports {
		s.states[p] = state
	}
}

// reject sets the ICMP error of ports such as "192.0.2.1:80".
func (s *scenario) reject(e scan.ICMPError, ports ...string) {
	for _, p := range ports {
		s.errors[p] = e
	}
}

// getPage returns a page, which must exist.
func (s *scenario) getPage(tb testing.TB, path string) string {
	tb.Helper()
	w := s.get(tb, path)
	if w.Code != 200 {
		tb.Fatalf("GET %s: got status %d, want 200: %s", path, w.Code, w.Body)
	}
	return w.Body.String()
}

// statusRow returns the text of the status page's row for a target and module.
func (s *scenario) statusRow(tb testing.TB, target, module string) string {
	tb.Helper()
	for r := range strings.SplitSeq(s.getPage(tb, "/"), "<tr ") {
		if strings.Contains(r, fmt.Sprintf(`<a href="/target/%s?module=%s">`, target, module)) {
			_, cells, _ := strings.Cut(r, ">")
			return plainText(cells)
		}
	}
	tb.Fatalf("the status page lacks %s with %s", target, module)
	return ""
}

var tagPattern = regexp.MustCompile(`(?s)<[^>]*>`)

// plainText returns the text of a page without tags, in one line.
func plainText(html string) string {
	return strings.Join(strings.Fields(tagPattern.ReplaceAllString(html, " ")), " ")
}

// sectionText returns the text of a section.
func sectionText(tb testing.TB, page, id string) string {
	tb.Helper()
	_, part, ok := strings.Cut(page, `<section aria-labelledby="`+id+`">`)
	if !ok {
		tb.Fatalf("section %s is missing in %s", id, page)
	}
	part, _, _ = strings.Cut(part, "</section>")
	return plainText(part)
}

const scenarioConfig = `
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
