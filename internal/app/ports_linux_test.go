// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/prometheus/common/promslog"

	"portscan_exporter/internal/terminal"
	"portscan_exporter/internal/testnet"
)

// TestScanExcludedPorts requests ports that the module excludes and the target expects
// to be open: no packet may reach them.
func TestScanExcludedPorts(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	mine, foreign := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("203.0.113.1")
	testnet.AddAddress(t, mine)
	testnet.DefaultRoute(t)
	counter := testnet.CountTo(t, mine, foreign)
	testnet.Filter(t, `table inet ports {
		counter excluded { }
		chain out { type filter hook output priority -400 ;
			meta l4proto { tcp, udp } th dport { 22, 25-26, 443 } counter name excluded
		}
	}
	`)
	file := writeConfig(t, `
modules:
  tcp: {ports: "20-30", port_timeout: 100ms, exclude_ports: "22,25-26,443"}
  syn: {ports: "20-30", port_timeout: 100ms, exclude_ports: "22,25-26,443", method: syn}
  udp: {ports: "20-22,30", port_timeout: 100ms, exclude_ports: "22,25-26,443", protocol: udp}
  free: {ports: 22}
targets:
- name: own
  hosts: [192.0.2.1]
  modules: [tcp, syn, udp]
  authorization: {owner: me}
  expect: {tcp: {open: "22,443", allow: 25}, udp: {open: "22,443", allow: 25}}
- {name: free, hosts: [192.0.2.1], modules: [free], authorization: {owner: me}}
`)
	for _, module := range []string{"tcp", "syn", "udp"} {
		for _, tc := range []struct {
			options ScanOptions
			code    int
			want    string
		}{
			{ScanOptions{Target: "own"}, ExitOK, "192.0.2.1  20 "},
			{ScanOptions{Target: "192.0.2.1", Ports: "20-30"}, ExitOK, "192.0.2.1  20 "},
			{ScanOptions{Target: "own", Ports: "22,23"}, ExitOK, "192.0.2.1  23 "},
			{ScanOptions{Target: "own", Ports: "22"}, ExitRefused, "no ports to scan"},
			{ScanOptions{Target: "own", Ports: "22,25-26,443"}, ExitRefused, "no ports to scan"},
			{ScanOptions{Target: "203.0.113.1", Ports: "22,80"}, ExitRefused, `target "203.0.113.1" is not configured`},
		} {
			before := counter.Packets(t, mine)
			var out bytes.Buffer
			o := tc.options
			o.ConfigFile, o.Module, o.Output, o.AllPorts = file, module, string(terminal.Table), true
			if code := o.run(promslog.NewNopLogger(), terminal.NewScreen(&out), &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("Scan(%+v) = %d, want %d and %q:\n%s", o, code, tc.code, tc.want, out.String())
			}
			if sent := counter.Packets(t, mine) - before; (sent > 0) != (tc.code == ExitOK) {
				t.Errorf("Scan(%+v) sent %d packets", o, sent)
			}
			if listed := regexp.MustCompile(`(?m)^192\.0\.2\.1 +(22|25|26|443) `).FindString(out.String()); listed != "" {
				t.Errorf("Scan(%+v) lists %q", o, listed)
			}
		}
	}
	if n := sentToExcluded(t); n != "0" {
		t.Errorf("%s packets went to excluded ports", n)
	}
	if n := counter.Packets(t, foreign) + counter.Left(t); n != 0 {
		t.Errorf("%d packets left the machine", n)
	}
	// The counter must see packets to these ports if there are any.
	var out bytes.Buffer
	ScanOptions{ConfigFile: file, Target: "free", Output: string(terminal.Table)}.run(promslog.NewNopLogger(), terminal.NewScreen(&out), &out, &out)
	if n := sentToExcluded(t); n == "0" {
		t.Errorf("a scan of port 22 is not counted:\n%s", out.String())
	}
}

// sentToExcluded returns the number of packets sent to the excluded ports.
func sentToExcluded(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "counter", "inet", "ports", "excluded").CombinedOutput()
	n := regexp.MustCompile(`packets (\d+)`).FindSubmatch(out)
	if err != nil || n == nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return string(n[1])
}
