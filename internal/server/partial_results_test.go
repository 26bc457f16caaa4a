// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

// TestIndexSingleAddressProbes probes the addresses of a target one by one.
func TestIndexSingleAddressProbes(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	s.reconfigured(t)
	s.setState(scan.Open, "192.0.2.33:22", "192.0.2.34:22", "[2001:db8::7]:22")
	s.get(t, "/probe?target=192.0.2.33")
	wantTexts(t, "one address", s.statusRow(t, "rack", "few"), "incomplete", "some addresses never scanned", "1 0")
	page := s.getPage(t, "/target/rack")
	wantTexts(t, "gaps", sectionText(t, page, "gaps"), "Other addresses of the target: not scanned since")
	wantTexts(t, "map", sectionText(t, page, "map"), "unknown 100 1-100")

	s.setState(scan.Open, "192.0.2.34:7")
	s.get(t, "/probe?target=192.0.2.34")
	s.reconfigured(t) // no change
	wantTexts(t, "two", s.statusRow(t, "rack", "few"), "violating", "and incomplete, some addresses never scanned", "7 on 1 address")
	s.get(t, "/probe?target=2001:db8::7")
	if row := s.statusRow(t, "rack", "few"); !strings.Contains(row, "violating") || strings.Contains(row, "incomplete") {
		t.Errorf("after probes of all addresses: got %s, want only violating", row)
	}
	s.setState(scan.Closed, "192.0.2.34:7")
	s.get(t, "/probe?target=192.0.2.34")
	wantTexts(t, "all", s.statusRow(t, "rack", "few"), "as expected")
}

// reconfigured passes the configuration to the coordinator.
func (s *scenario) reconfigured(tb testing.TB) {
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
	s.scans.Reconfigure(all)
}

// TestTargetPageNoPorts checks the reason for an empty table of ports.
func TestTargetPageNoPorts(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	ports := func() string {
		s.get(t, "/probe?target=web&module=udp")
		return sectionText(t, s.getPage(t, "/target/web?module=udp"), "ports")
	}
	wantTexts(t, "closed ports", ports(), "None: no port must be open, and none is or was open.")
	s.setState(scan.OpenFiltered, "192.0.2.1:53")
	wantTexts(t, "a silent port", ports(), "None known to be open: 1 open or filtered.")
	s.setState(scan.Unknown, "192.0.2.1:53", "192.0.2.1:161")
	wantTexts(t, "unknown ports", ports(), "None known to be open: 2 unknown.")
}

var (
	filterPattern = regexp.MustCompile(`data-f="([^"]*)"`)
	agePattern    = regexp.MustCompile(`data-v="(\d+)" class="wide n"><time`)
)

// TestIndexFilterText checks the text that the filter searches, and sort keys.
func TestIndexFilterText(t *testing.T) {
	t.Parallel()
	s := newScenario(t, `
modules: {few: {ports: "1-100"}}
targets:
  - name: many
    hosts: [192.0.2.1, 192.0.2.2, 192.0.2.3, 192.0.2.4, 192.0.2.5, 192.0.2.6]
    modules: [few]
    authorization: {owner: the "team", reference: CHG-1}
    expect: {tcp: {open: "90"}}
    labels: {env: prod}
`, nil, nil)
	s.setState(scan.Open, "192.0.2.1:10", "192.0.2.1:11", "192.0.2.1:12", "192.0.2.2:13", "192.0.2.2:14", "192.0.2.2:15", "192.0.2.2:16")
	s.get(t, "/probe?target=many")
	page := s.getPage(t, "/")
	words := filterPattern.FindStringSubmatch(page)
	if words == nil {
		t.Fatal("the row has no filter text")
	}
	wantTexts(t, "filter text", words[1], "violating many few the &#34;team&#34; CHG-1 192.0.2.1 192.0.2.2 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6 env=prod 10 11 12 13 14 15 16 90")
	for _, link := range []string{"log", "probe", "debug"} {
		if strings.Contains(words[1], link) {
			t.Errorf("filter text has %s: %s", link, words[1])
		}
	}
	age := agePattern.FindStringSubmatch(page)
	if age == nil {
		t.Fatal("the row has no sort key for its age")
	}
	if n, err := strconv.Atoi(age[1]); err != nil || n > 3600 {
		t.Errorf("got sort key %s for the age, want seconds", age[1])
	}
	wantTexts(t, "addresses", s.getPage(t, "/target/many"), `<td class="bad" data-v="4">`, `<td class="bad" data-v="0">`)
}
