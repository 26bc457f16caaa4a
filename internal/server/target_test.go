// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestTargetPageResults checks the page before the first scan, after scans, and
// after port changes.
func TestTargetPageResults(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	page := s.getPage(t, "/target/web")
	wantTexts(t, "page", plainText(page),
		"Owner net &lt;team&gt;", "Reference &lt;b&gt;CHG-1&lt;/b&gt;", "Authorization valid until 2099-01-02 00:00:00 UTC", "Hosts 192.0.2.1",
		"Method tcp (connect) Ports 100 ports: 1-100 Expected Must be open: 22, 80. May be open: 90-99. No other port may be open.",
		"Not scanned with this module since the exporter started or the configuration changed. Probe now")
	if strings.Contains(page, "portmap") {
		t.Error("got a map of a target that was never scanned")
	}

	s.setState(scan.Open, "192.0.2.1:22", "192.0.2.1:80", "192.0.2.1:95", "192.0.2.1:7")
	s.setState(scan.Filtered, "192.0.2.1:30")
	s.get(t, "/probe?target=web")
	page = s.getPage(t, "/target/web")
	wantTexts(t, "head", plainText(page), "web violating")
	wantTexts(t, "gaps", sectionText(t, page, "gaps"), "65,435 of 65,535 TCP ports: not scanned by this module.", "UDP: see module udp.")
	wantTexts(t, "addresses", sectionText(t, page, "addresses"), "192.0.2.1 192.0.2.1 7 4 0")
	wantTexts(t, "ports", sectionText(t, page, "ports"),
		"7/tcp 192.0.2.1 open connection established must not be open 1.5ms none seen 22/tcp 192.0.2.1 open connection established must be open 1.5ms",
		"95/tcp 192.0.2.1 open connection established may be open 1.5ms")
	wantTexts(t, "map", sectionText(t, page, "map"), "open (unexpected) 1 7", "open 3 22, 80, 95", "filtered 1 30", "unknown 0", "not scanned 65,435 101-65535")

	s.setState(scan.Closed, "192.0.2.1:7", "192.0.2.1:80")
	s.setState(scan.Unknown, "192.0.2.1:22", "192.0.2.1:50")
	s.get(t, "/probe?target=web")
	page = s.getPage(t, "/target/web?module=few")
	wantTexts(t, "gaps", sectionText(t, page, "gaps"), "2 ports scanned, but unknown: no route to the address.")
	ports := sectionText(t, page, "ports")
	wantTexts(t, "ports", ports, "80/tcp 192.0.2.1 closed reset received must be open 1.5ms", "22/tcp 192.0.2.1 unknown no route to the address must be open", "7/tcp 192.0.2.1 closed reset received must not be open")
	if strings.Index(ports, "80/tcp") > strings.Index(ports, "22/tcp") || strings.Index(ports, "22/tcp") > strings.Index(ports, "95/tcp") || strings.Contains(ports, "50/tcp") {
		t.Errorf("got ports %s, want the worst first and only notable ones", ports)
	}
	wantTexts(t, "map", sectionText(t, page, "map"), "not open (missing) 1 80", "unknown 2 22, 50", "open 1 95")

	s.setState(scan.Open, "192.0.2.1:22", "192.0.2.1:80", "192.0.2.1:7", "192.0.2.1:60")
	s.setState(scan.Closed, "192.0.2.1:50")
	s.get(t, "/probe?target=web")
	page = s.getPage(t, "/target/web")
	wantTexts(t, "changes", sectionText(t, page, "changes"), "60/tcp 192.0.2.1 closed → open few")
	if changes := sectionText(t, page, "changes"); strings.Contains(changes, "7/tcp") { // it was open in the last complete scan
		t.Errorf("got changes %s, want none of port 7", changes)
	}
	if ports := sectionText(t, page, "ports"); !regexp.MustCompile(`60/tcp 192.0.2.1 open connection established must not be open 1.5ms 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC \d+s ago`).MatchString(ports) {
		t.Errorf("got ports %s, want the last change of port 60", ports)
	}
}

// TestTargetPageNewHost has a host appear in a network.
func TestTargetPageNewHost(t *testing.T) {
	t.Parallel()
	s := newScenario(t, strings.ReplaceAll(scenarioConfig, "[192.0.2.1]", "[192.0.2.0/30]"), nil, nil)
	for port := 1; port <= 100; port++ {
		s.setState(scan.Filtered, fmt.Sprintf("192.0.2.1:%d", port))
	}
	s.get(t, "/probe?target=web")
	wantTexts(t, "addresses", sectionText(t, s.getPage(t, "/target/web"), "addresses"), "Addresses 1 of 2 respond. Address Host")
	s.setState(scan.Closed, "192.0.2.1:3")
	s.setState(scan.Open, "192.0.2.1:22")
	s.get(t, "/probe?target=web")
	page := s.getPage(t, "/target/web")
	wantTexts(t, "addresses", sectionText(t, page, "addresses"), "Addresses 2 of 2 respond. Address Host")
	changes := sectionText(t, page, "changes")
	wantTexts(t, "changes", changes, "Changes When Port Address Change Module", "– 192.0.2.1 new host few", "22/tcp 192.0.2.1 filtered → open few")
	if strings.Contains(changes, "3/tcp") || strings.Contains(changes, "192.0.2.2") {
		t.Errorf("got changes %s, want the new host and its open port", changes)
	}
}

// TestTargetPageExpired checks that expired targets have no results and no logs.
func TestTargetPageExpired(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	s.setState(scan.Open, "192.0.2.1:7")
	s.get(t, "/probe?target=web")
	writeFile(t, s.file, strings.Replace(s.text, "2099-01-01", "2020-01-01", 1))
	if err := s.reloader.Reload(); err != nil {
		t.Fatal(err)
	}
	page := s.getPage(t, "/target/web")
	wantTexts(t, "page", plainText(page), "The target is not scanned, and earlier results are not shown.", "web authorization expired", "expired 2020-01-02 00:00:00 UTC")
	for _, path := range []string{"/", "/target/web", "/target/web?module=few"} {
		page := s.getPage(t, path)
		if strings.Contains(page, "portmap") || strings.Contains(page, "7/tcp") || strings.Contains(page, `probe?module=few&amp;target=web`) {
			t.Errorf("%s has results of an expired target: %s", path, page)
		}
	}
	for _, path := range []string{"/", "/target/web"} {
		if strings.Contains(s.getPage(t, path), "/logs?") {
			t.Errorf("%s links to the log of an expired target", path)
		}
	}
	if w := s.get(t, "/logs?id=1"); w.Code != 403 || strings.Count(w.Body.String(), "\n") != 1 || !strings.Contains(w.Body.String(), "expired") {
		t.Errorf("log of an expired target: got %d, %s, want 403 and one line", w.Code, w.Body)
	}
	if w := s.get(t, "/target/web?address=192.0.2.1"); w.Code != 404 {
		t.Errorf("address of an expired target: got status %d, want 404", w.Code)
	}
}

// TestTargetPageAddresses checks the page of all addresses and of one.
func TestTargetPageAddresses(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, nil, nil)
	s.setState(scan.Open, "192.0.2.33:22", "192.0.2.34:22", "192.0.2.34:7")
	s.setState(scan.Unknown, "[2001:db8::7]:22", "192.0.2.33:7", "192.0.2.33:8")
	s.get(t, "/probe?target=rack")
	all := s.getPage(t, "/target/rack")
	wantTexts(t, "map of all", sectionText(t, all, "map"), "worst state on 3 addresses", "open (unexpected) 1 7", "unknown 2 8, 22", "open 0", "closed 97")
	wantTexts(t, "addresses", sectionText(t, all, "addresses"), "all addresses", "192.0.2.33", "192.0.2.34 192.0.2.32/30 7 2 0", "2001:db8::7")
	wantTexts(t, "ports", sectionText(t, all, "ports"), "7/tcp 192.0.2.34", "22/tcp 2001:db8::7 unknown", "22/tcp 192.0.2.33 open")

	one := s.getPage(t, "/target/rack?module=few&address=2001%3Adb8%3A%3A7")
	wantTexts(t, "map of one", sectionText(t, one, "map"), "All 65,536 ports of 2001:db8::7", "open (unexpected) 0", "unknown 1 22", "closed 99")
	if ports := sectionText(t, one, "ports"); strings.Contains(ports, "192.0.2") {
		t.Errorf("got ports %s, want only those of the selected address", ports)
	}
	wantTexts(t, "links", all, `href="/target/rack?module=few&amp;address=2001%3Adb8%3A%3A7"`)
	for _, bad := range []string{"address=192.0.2.99", "address=x", "module=none", "module=kept"} {
		if w := s.get(t, "/target/rack?"+bad); w.Code != 404 || strings.Count(w.Body.String(), "\n") != 1 {
			t.Errorf("%s: got %d, %s, want 404 and one line", bad, w.Code, w.Body)
		}
	}
}

// TestTargetPageManyHosts checks that the page and the debug log do not list thousands of hosts.
func TestTargetPageManyHosts(t *testing.T) {
	t.Parallel()
	s := newScenario(t, strings.ReplaceAll(scenarioConfig, "[192.0.2.1]", "["+strings.Repeat("192.0.2.1,", 3000)+"]"), nil, nil)
	for _, text := range []string{s.get(t, "/probe?target=web&debug=true").Body.String(), plainText(s.getPage(t, "/target/web"))} {
		if !strings.Contains(text, "192.0.2.1, and 2,744 more") || strings.Count(text, "192.0.2.1,") > 300 {
			t.Errorf("%d hosts, want 256: %.2000s", strings.Count(text, "192.0.2.1,"), text)
		}
	}
}

// TestPagesInternationalName checks that pages show both forms of a name.
func TestPagesInternationalName(t *testing.T) {
	t.Parallel()
	const both = "bücher.example (xn--bcher-kva.example)"
	s := newScenario(t, strings.ReplaceAll(scenarioConfig, "[192.0.2.1]", "[192.0.2.1, bücher.example]\n    networks: [192.0.2.0/24]"), stubLookup{netip.MustParseAddr("192.0.2.9")}, nil)
	wantTexts(t, "debug", s.get(t, "/probe?target=web&debug=true").Body.String(), "hosts         192.0.2.1, "+both, "192.0.2.9  from "+both)
	page := s.getPage(t, "/target/web")
	wantTexts(t, "target's page", plainText(page), "192.0.2.1, "+both)
	wantTexts(t, "addresses", sectionText(t, page, "addresses"), "192.0.2.9 "+both)
	wantTexts(t, "start page", plainText(s.getPage(t, "/")), "192.0.2.1, "+both)
}

// TestTargetPageNoAddresses resolves a name outside the networks: all ports are
// unknown.
func TestTargetPageNoAddresses(t *testing.T) {
	t.Parallel()
	s := newScenario(t, scenarioConfig, stubLookup{netip.MustParseAddr("203.0.113.1")}, nil)
	s.get(t, "/probe?target=named")
	page := s.getPage(t, "/target/named")
	wantTexts(t, "map", sectionText(t, page, "map"), "unknown 100 1-100", "closed 0", "not scanned 65,435")
	wantTexts(t, "gaps", sectionText(t, page, "gaps"), "203.0.113.1: resolved outside the target&#39;s networks, not scanned.")
	wantTexts(t, "addresses", sectionText(t, page, "addresses"), "None.")
}

var (
	layerPattern  = regexp.MustCompile(`<path class="c-(\w+)"[^>]* d="([^"]*)"/>`)
	boxPattern    = regexp.MustCompile(`M(\d+) (\d+)h(\d+)v(\d+)h-(\d+)z`)
	legendPattern = regexp.MustCompile(`(?s)data-class="([^"]*)">(?:<details>.*?</summary>)?<span>([^<]*)</span>`)
)

// TestPortMapMatchesLegend compares the map and its legend with the scanned states,
// which are random and in ranges of different lengths.
func TestPortMapMatchesLegend(t *testing.T) {
	t.Parallel()
	keys := map[string]string{
		"open (unexpected)": "unexpected", "not open (missing)": "missing", "unknown": "unknown", "open": "open",
		"open or filtered": "openfiltered", "filtered": "filtered", "closed": "closed", "not scanned": "none",
	}
	for _, protocol := range []string{"tcp", "udp"} {
		for _, longest := range []int{3, 700, 40000} {
			s := newScenario(t, fmt.Sprintf(`
modules: {all: {protocol: %[1]s, ports: "1-60000", timeout: 1h}}
targets: [{name: own, hosts: [192.0.2.1], modules: [all], authorization: {owner: me}, expect: {%[1]s: {open: "1-9000,65535", allow: "20000-30000"}}}]
`, protocol), nil, nil)
			truth := s.setRandomStates(longest)
			s.get(t, "/probe?target=own")
			page := s.getPage(t, "/target/own")
			var painted, listed [65536]string
			for _, l := range layerPattern.FindAllStringSubmatch(page, -1) {
				for _, p := range boxPattern.FindAllStringSubmatch(l[2], -1) {
					paintBox(t, &painted, l[1], p[1:])
				}
			}
			for _, c := range legendPattern.FindAllStringSubmatch(page, -1) {
				ports, err := scan.ParsePortSet(c[2])
				if err != nil {
					t.Fatal(err)
				}
				for port := range ports.All() {
					if listed[port] != "" {
						t.Fatalf("port %d is listed as %s and %s", port, listed[port], c[1])
					}
					listed[port] = keys[c[1]]
				}
			}
			for port := 1; port < 65536; port++ {
				got := painted[port]
				if got == "" {
					got = "none"
				}
				if want := truth(port); got != want || listed[port] != want {
					t.Fatalf("%s, ranges up to %d: port %d is painted as %s and listed as %s, want %s", protocol, longest, port, got, listed[port], want)
				}
			}
			if len(page) > 1200<<10 {
				t.Errorf("got a page of %d bytes, want at most 1,200 KiB", len(page))
			}
		}
	}
}

// setRandomStates sets the states of random ranges of ports, and returns the class
// of each port.
func (s *scenario) setRandomStates(longest int) func(port int) string {
	random := rand.New(rand.NewPCG(1, uint64(longest)))
	states := make([]scan.State, 65536)
	set := func(state scan.State, port int) {
		states[port] = state
		s.setState(state, fmt.Sprintf("192.0.2.1:%d", port))
	}
	all := []scan.State{scan.Open, scan.Closed, scan.Filtered, scan.Unknown, scan.OpenFiltered}
	for lo := 1; lo < 65536; {
		state := all[random.IntN(len(all))]
		for n := 1 + random.IntN(longest); n > 0 && lo < 65536; n-- {
			set(state, lo)
			lo++
		}
	}
	for i, edge := range []int{0, 1, 254, 255, 256} { // ranges that begin and end near the edges
		for j, length := range []int{254, 255, 256, 257, 600} {
			lo := 256*(120+20*i+4*j) + edge
			set(scan.Closed, lo-1)
			set(scan.Closed, lo+length)
			for port := lo; port < lo+length; port++ {
				set(scan.Filtered, port)
			}
		}
	}
	return func(port int) string {
		open, allowed := port <= 9000 || port == 65535, port >= 20000 && port <= 30000
		switch state := states[port]; {
		case port > 60000 && !open:
			return "none"
		case state == scan.Open && !open && !allowed:
			return "unexpected"
		case (state == scan.Closed || state == scan.Filtered) && open:
			return "missing"
		default:
			return strings.ReplaceAll(state.String(), "_", "")
		}
	}
}

func paintBox(t *testing.T, on *[65536]string, class string, numbers []string) {
	t.Helper()
	var n [5]int
	for i := range n {
		var err error
		if n[i], err = strconv.Atoi(numbers[i]); err != nil {
			t.Fatal(err)
		}
	}
	x, y, w, h := n[0], n[1], n[2], n[3]
	if w != n[4] || w < 1 || h < 1 || x+w > 256 || y+h > 256 {
		t.Fatalf("got a box of %s outside the map: %v", class, numbers)
	}
	for row := y; row < y+h; row++ {
		for column := x; column < x+w; column++ {
			on[row*256+column] = class
		}
	}
}
