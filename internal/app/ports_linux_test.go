package app

import (
	"bytes"
	"net/netip"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

// TestOwnershipOfPorts asks the scan command for ports that a module excludes, and
// which the target expects to be open besides: whatever is asked for, no packet
// goes there.
func TestOwnershipOfPorts(t *testing.T) {
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
			args string
			code int
			want string
		}{
			{"own --all", exitOK, "192.0.2.1  20 "},
			{"192.0.2.1 --all --ports=20-30", exitOK, "192.0.2.1  20 "},
			{"own --all --ports=22,23", exitOK, "192.0.2.1  23 "},
			{"own --ports=22", exitRefused, "no port to scan is left"},
			{"own --ports=22,25-26,443", exitRefused, "no port to scan is left"},
			{"203.0.113.1 --ports=22,80", exitRefused, `target "203.0.113.1" is not configured`},
		} {
			before := counter.Packets(t, mine)
			var out bytes.Buffer
			args := append([]string{"scan", "--config.file=" + file, "--module=" + module}, strings.Fields(tc.args)...)
			if code := Run(args, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%v: exit status %d, want %d and %q:\n%s", args, code, tc.code, tc.want, out.String())
			}
			if sent := counter.Packets(t, mine) - before; (sent > 0) != (tc.code == exitOK) {
				t.Errorf("%v sent %d packets", args, sent)
			}
			if listed := regexp.MustCompile(`(?m)^192\.0\.2\.1 +(22|25|26|443) `).FindString(out.String()); listed != "" {
				t.Errorf("%v lists %q", args, listed)
			}
		}
	}
	if n := sentToExcluded(t); n != "0" {
		t.Errorf("%s packets went to excluded ports", n)
	}
	if n := counter.Packets(t, foreign) + counter.Left(t); n != 0 {
		t.Errorf("%d packets left the machine", n)
	}
	// A counter that sees nothing proves nothing.
	var out bytes.Buffer
	Run([]string{"scan", "--config.file=" + file, "free"}, &out, &out)
	if n := sentToExcluded(t); n == "0" {
		t.Errorf("a scan of port 22 is not counted:\n%s", out.String())
	}
}

// sentToExcluded returns how many packets went to the excluded ports.
func sentToExcluded(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "counter", "inet", "ports", "excluded").CombinedOutput()
	n := regexp.MustCompile(`packets (\d+)`).FindSubmatch(out)
	if err != nil || n == nil {
		t.Fatalf("nft: %v\n%s", err, out)
	}
	return string(n[1])
}
