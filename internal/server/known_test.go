package server_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
)

// forgetful is scans that forget every picture at once.
type forgetful struct{ server.Scans }

func (f forgetful) Sights(target string) []*coordinator.Sight {
	all := f.Scans.Sights(target)
	for _, s := range all {
		for _, a := range s.Addresses {
			a.Forgotten, a.States, a.Details = true, nil, nil
		}
	}
	return all
}

// TestForgottenPicture keeps what is not as it should be, and draws nothing else.
func TestForgottenPicture(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, nil, func(o *server.Options) { o.Scans = forgetful{o.Scans} })
	s.set(scan.Open, "192.0.2.1:22", "192.0.2.1:7")
	s.get(t, "/probe?target=web")
	page := s.show(t, "/target/web?module=few")
	wantLines(t, "the page", plain(page), "web violating")
	wantLines(t, "what is not known", section(t, page, "gaps"), "Port states of 1 address: evicted")
	wantLines(t, "the addresses", section(t, page, "addresses"), "192.0.2.1 192.0.2.1 7 80 2 0", "port states evicted")
	wantLines(t, "the ports", section(t, page, "ports"), "7/tcp 192.0.2.1 open (unexpected)", "80/tcp 192.0.2.1 not open (missing)")
	wantLines(t, "the map", section(t, page, "map"), "open (unexpected) 1 7", "not open (missing) 1 80", "unknown 98", "closed 0", "open 0")
}

// TestAddressByAddress has a target whose addresses alone are probed.
func TestAddressByAddress(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, nil, nil)
	s.reconfigured(t)
	s.set(scan.Open, "192.0.2.33:22", "192.0.2.34:22", "[2001:db8::7]:22")
	s.get(t, "/probe?target=192.0.2.33")
	wantLines(t, "one address", s.row(t, "rack", "few"), "incomplete", "some addresses never scanned", "1 0")
	page := s.show(t, "/target/rack")
	wantLines(t, "what is not known", section(t, page, "gaps"), "Other addresses of the target: not scanned since")
	wantLines(t, "the map", section(t, page, "map"), "unknown 100 1-100")

	s.set(scan.Open, "192.0.2.34:7")
	s.get(t, "/probe?target=192.0.2.34")
	s.reconfigured(t) // nothing has changed
	wantLines(t, "two", s.row(t, "rack", "few"), "violating", "and incomplete, some addresses never scanned", "7 on 1 address")
	s.get(t, "/probe?target=2001:db8::7")
	if row := s.row(t, "rack", "few"); !strings.Contains(row, "violating") || strings.Contains(row, "incomplete") {
		t.Errorf("when all addresses were seen: %s", row)
	}
	s.set(scan.Closed, "192.0.2.34:7")
	s.get(t, "/probe?target=192.0.2.34")
	wantLines(t, "all", s.row(t, "rack", "few"), "as expected")
}

// reconfigured tells the coordinator what is configured.
func (s *stage) reconfigured(tb testing.TB) {
	tb.Helper()
	cfg, _, err := config.Load(s.file, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	var all []scan.Task
	for _, target := range cfg.Targets() {
		for _, m := range target.Modules {
			all = append(all, config.Selection{Target: target}.Task(m))
		}
	}
	s.scans.Reconfigured(all)
}

// TestNoneKnown has no port that somebody needs to know of: because none is open, or
// because nothing is known.
func TestNoneKnown(t *testing.T) {
	t.Parallel()
	s := newStage(t, stageConfig, nil, nil)
	ports := func() string {
		s.get(t, "/probe?target=web&module=udp")
		return section(t, s.show(t, "/target/web?module=udp"), "ports")
	}
	wantLines(t, "closed ports", ports(), "None: no port must be open, and none is or was open.")
	s.set(scan.OpenFiltered, "192.0.2.1:53")
	wantLines(t, "a silent port", ports(), "None known to be open: 1 open or filtered.")
	s.set(scan.Unknown, "192.0.2.1:53", "192.0.2.1:161")
	wantLines(t, "unknown ports", ports(), "None known to be open: 2 unknown.")
}

var (
	foundBy = regexp.MustCompile(`data-f="([^"]*)"`)
	agedBy  = regexp.MustCompile(`data-v="(\d+)" class="wide n"><time`)
)

// TestFoundBy has what a row is found by, and what it is sorted by.
func TestFoundBy(t *testing.T) {
	t.Parallel()
	s := newStage(t, `
modules: {few: {ports: "1-100"}}
targets:
  - name: many
    hosts: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6]
    modules: [few]
    authorization: {owner: the "team", reference: CHG-1}
    expect: {tcp: {open: "90"}}
    labels: {env: prod}
`, nil, nil)
	s.set(scan.Open, "192.0.2.1:10", "192.0.2.1:11", "192.0.2.1:12", "192.0.2.2:13", "192.0.2.2:14", "192.0.2.2:15", "192.0.2.2:16")
	s.get(t, "/probe?target=many")
	page := s.show(t, "/")
	words := foundBy.FindStringSubmatch(page)
	if words == nil {
		t.Fatal("a row says nothing of what it is found by")
	}
	wantLines(t, "what a row is found by", words[1], "violating many few the &#34;team&#34; CHG-1 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 env=prod 10 11 12 13 14 15 16 90")
	for _, link := range []string{"log", "probe", "debug"} {
		if strings.Contains(words[1], link) {
			t.Errorf("every row is found by %s: %s", link, words[1])
		}
	}
	age := agedBy.FindStringSubmatch(page)
	if age == nil {
		t.Fatal("no row has an age to sort by")
	}
	if n, err := strconv.Atoi(age[1]); err != nil || n > 3600 {
		t.Errorf("the age is sorted by %s, which is no age", age[1])
	}
	wantLines(t, "the addresses", s.show(t, "/target/many"), `<td class="bad" data-v="4">`, `<td class="bad" data-v="0">`)
}
