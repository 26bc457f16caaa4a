// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// twoAddressesConfig reports all ports of both loopback addresses, or at most three of them.
func twoAddressesConfig(s testPorts) string {
	return fmt.Sprintf(`modules:
  all: {ports: [%[1]d, %[2]d, %[3]d, %[4]d, %[5]d], report: all}
  three: {ports: [%[1]d, %[2]d, %[3]d, %[4]d, %[5]d], report: all, max_ports: 3}
targets:
  - name: both
    hosts: [127.0.0.1, "::1"]
    modules: [all, three]
    authorization: {owner: "the test", expires: 2999-12-31}
    expect:
      tcp: {open: "%[1]d,%[2]d", allow: "%[3]d"}
`, s.listening, s.down, s.allowed, s.unexpected, s.free)
}

// portOpenSample returns the series of a TCP port.
func portOpenSample(ip string, port int, expected string) string {
	return fmt.Sprintf(`portscan_port_open{expected="%s",ip="%s",port="%d",protocol="tcp"}`, expected, ip, port)
}

// needIPv6 skips the test on a machine without ::1.
func needIPv6(t *testing.T) {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		skip(t, "no IPv6 loopback: "+err.Error())
	}
	_ = l.Close()
}

func TestProbeTwoAddresses(t *testing.T) {
	t.Parallel()
	needIPv6(t)
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	listenLocal(t, s.unexpected)
	e := startExporter(t, twoAddressesConfig(s))

	m := e.probe(t, "target=both")
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, "portscan_addresses", 2)
	m.wantValue(t, "portscan_addresses_refused", 0)
	m.wantValue(t, portOpenSample("127.0.0.1", s.listening, "open"), 1)
	m.wantValue(t, portOpenSample("127.0.0.1", s.unexpected, "closed"), 1)
	m.wantValue(t, portOpenSample("127.0.0.1", s.free, "closed"), 0)
	m.wantValue(t, portOpenSample("::1", s.listening, "open"), 0)
	m.wantValue(t, `portscan_ports_violating{expected="open",ip="::1",protocol="tcp"}`, 2)
	m.wantValue(t, `portscan_ports_violating{expected="closed",ip="::1",protocol="tcp"}`, 0)
	if n := m.countByPrefix("portscan_port_open{"); n != 10 {
		t.Errorf("got %d reported ports, want 10", n)
	}

	m = e.probe(t, "target=both&module=three")
	m.wantValue(t, portOpenSample("127.0.0.1", s.unexpected, "closed"), 1) // violations come first
	if n, omitted := m.countByPrefix("portscan_port_open{"), m.sumByPrefix("portscan_ports_omitted{"); n != 3 || omitted != 7 {
		t.Errorf("got %d reported and %v omitted ports, want 3 and 7", n, omitted)
	}

	m = e.probe(t, "target=::1")
	m.wantValue(t, "portscan_addresses", 1)
	m.wantValue(t, `portscan_ports{ip="::1",protocol="tcp",state="closed"}`, 5)
	if strings.Contains(fmt.Sprint(m), "127.0.0.1") {
		t.Error("a probe of one address has series of another")
	}
	wantStatus(t, e.url+"/probe?target=127.0.0.2", http.StatusForbidden)
}

// TestProbeOwnership probes addresses in networks: of a target with a name only those of the name,
// and of a target without hosts all that it does not exclude.
func TestProbeOwnership(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	e := startExporter(t, fmt.Sprintf(`modules:
  m: {ports: [%d]}
targets:
  - {name: named, hosts: [localhost], networks: [127.0.0.0/16], ip_protocol: ip4, modules: [m], authorization: {owner: me}}
  - {name: asked, networks: [127.9.0.0/16], exclude_hosts: [127.9.0.7], modules: [m], authorization: {owner: you}}
`, s.free))
	e.probe(t, "target=127.0.0.1").wantValue(t, `portscan_address_info{host="localhost",ip="127.0.0.1"}`, 1)
	m := e.probe(t, "target=127.9.9.9")
	m.wantValue(t, "probe_success", 1)
	m.wantValue(t, `portscan_target_info{owner="you",reference="",target="asked"}`, 1)
	for target, want := range map[string]struct {
		status int
		text   string
	}{
		"127.0.0.2": {http.StatusForbidden, `hosts of target "named" does not lead to address 127.0.0.2: add it to hosts, or write a target with networks and without hosts`},
		"127.9.0.7": {http.StatusForbidden, `target "127.9.0.7" is not configured`},
		"asked":     {http.StatusBadRequest, `target "asked" has no hosts: ask for an address in its networks`},
	} {
		if r, err := request("GET", e.url+"/probe?target="+target); err != nil || r.status != want.status || !strings.Contains(r.body, want.text) {
			t.Errorf("%s: got status %d, %q, %v, want %d, %q", target, r.status, r.body, err, want.status, want.text)
		}
		o := runExporter(t, "--config.file="+e.config, "scan", target)
		o.wantStatus(t, 2)
		if !strings.Contains(o.stderr, want.text) {
			t.Errorf("scan %s: stderr = %q, want %q", target, o.stderr, want.text)
		}
	}
	runExporter(t, "--config.file="+e.config, "scan", "127.9.9.9").wantStatus(t, 0)
	if sd := getBody(t, e.url+"/sd"); strings.Contains(sd, "asked") || !strings.Contains(sd, "named") {
		t.Errorf("/sd = %s, want only target named", sd)
	}
	for path, text := range map[string]string{"/": "by address: 127.9.0.0/16", "/target/asked": "127.9.9.9", "/config": "name: asked\n      exclude_hosts:"} {
		if page := getBody(t, e.url+path); !strings.Contains(page, text) {
			t.Errorf("%s lacks %q:\n%s", path, text, page)
		}
	}
}

func TestPagesContent(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	e := startExporter(t, s.config())
	debug := getBody(t, e.url+"/probe?target=own&debug=true")
	for _, text := range []string{
		"127.0.0.1", strconv.Itoa(s.listening), "handshake", "Starting probe", "Probe finished", "\nprobe_success 1\n",
	} {
		if !strings.Contains(debug, text) {
			t.Errorf("debug output lacks %q:\n%s", text, debug)
		}
	}
	for path, text := range map[string]string{
		"/":          "target=own",
		"/config":    "paced:",
		"/-/healthy": "Healthy",
		"/-/ready":   "Ready",
		"/metrics":   "portscan_exporter_build_info{",
	} {
		if page := getBody(t, e.url+path); !strings.Contains(page, text) {
			t.Errorf("%[2]s lacks %[1]q:\n%[3]s", text, path, page)
		}
	}
}
