// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestICMPErrorsShown checks the page of a target and the debug output for ports that were
// answered with ICMP errors.
func TestICMPErrorsShown(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	router := scan.ICMPError{From: netip.MustParseAddr("192.0.2.254"), Type: 3, Code: 13}
	s.reject(router, "192.0.2.1:22", "192.0.2.1:30", "192.0.2.1:31")
	s.reject(scan.ICMPError{From: netip.MustParseAddr("192.0.2.1"), Type: 3, Code: 3}, "192.0.2.1:40")
	s.reject(scan.ICMPError{}, "192.0.2.1:90") // of a portable engine
	s.reject(router, "192.0.2.1:80")
	s.setState(scan.Unknown, "192.0.2.1:80")
	debug := strings.Join(strings.Fields(s.get(t, "/probe?target=web&debug=true").Body.String()), " ")
	wantTexts(t, "debug output", debug,
		"1 unknown, unknown (unresponsive): 1 icmp admin-prohibited from 192.0.2.254: 4 ports icmp port-unreachable from 192.0.2.1: 1 port Ports:",
		"192.0.2.1 22 filtered open icmp admin-prohibited from 192.0.2.254 1.5ms 192.0.2.1 90 filtered any icmp 1.5ms")
	page := s.getPage(t, "/target/web")
	wantTexts(t, "ports", sectionText(t, page, "ports"),
		"22/tcp 192.0.2.1 filtered ICMP admin-prohibited from 192.0.2.254 must be open", "80/tcp 192.0.2.1 unknown address stopped responding after ICMP admin-prohibited from 192.0.2.254 must be open")
	wantTexts(t, "errors", sectionText(t, page, "icmp"), "ICMP errors Error Sender",
		"Port numbers admin-prohibited 192.0.2.254 192.0.2.1 4 22, 30-31, 80 port-unreachable 192.0.2.1 the address itself 192.0.2.1 1 40")
}

// TestICMPErrorsOfAddresses checks that the page has one row for the same error of several
// addresses, and a page without errors none.
func TestICMPErrorsOfAddresses(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	s.get(t, "/probe?target=rack")
	if page := s.getPage(t, "/target/rack"); strings.Contains(page, "ICMP errors") {
		t.Error("got a section of ICMP errors without one")
	}
	router := scan.ICMPError{From: netip.MustParseAddr("192.0.2.33"), Type: 3, Code: 1} // an address of the target as well
	s.reject(router, "192.0.2.33:2", "192.0.2.34:2", "192.0.2.34:3", "[2001:db8::7]:9")
	s.get(t, "/probe?target=rack")
	wantTexts(t, "all addresses", sectionText(t, s.getPage(t, "/target/rack"), "icmp"),
		"host-unreachable 192.0.2.33 2 addresses 3 2-3, 9 host-unreachable 192.0.2.33 the address itself 192.0.2.33 1 2")
	wantTexts(t, "one address", sectionText(t, s.getPage(t, "/target/rack?module=few&address=192.0.2.34"), "icmp"),
		"ICMP errors for 192.0.2.34", "host-unreachable 192.0.2.33 192.0.2.34 2 2-3")
}

// TestICMPErrorsOmitted checks the page of an address with more errors than it lists.
func TestICMPErrorsOmitted(t *testing.T) {
	t.Parallel()
	s := newScenario(t, strings.ReplaceAll(scenarioConfig, "1-100", "1-103"), nil, nil)
	router := netip.MustParseAddr("198.51.100.1")
	for port := 1; port <= 103; port++ {
		s.reject(scan.ICMPError{From: router, Type: 11}, fmt.Sprintf("192.0.2.1:%d", port))
		router = router.Next()
	}
	s.get(t, "/probe?target=web")
	section := sectionText(t, s.getPage(t, "/target/web"), "icmp")
	wantTexts(t, "errors", section, "Not listed: 3 errors.")
	if got := strings.Count(section, "time-exceeded"); got != 100 {
		t.Errorf("listed errors = %d, want 100", got)
	}
}
