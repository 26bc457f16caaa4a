// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"portscan_exporter/internal/testnet"
)

// suspectCase is a scan of a target.
type suspectCase struct {
	target, ports string
	reason        string // regular expression; "": the address is not suspect
	methods       string // by default all
}

// checkSuspects scans targets, by their addresses, with a module for each method and ports.
func checkSuspects(t *testing.T, targets map[string]string, expect string, cases ...suspectCase) {
	t.Helper()
	modules := make(map[string]string)
	for i := range cases {
		cases[i].methods = cmp.Or(cases[i].methods, "connect,syn")
		for method := range strings.SplitSeq(cases[i].methods, ",") {
			modules[cases[i].module(method)] = fmt.Sprintf("{ports: %q, method: %s}", cases[i].ports, method)
		}
	}
	var config strings.Builder
	config.WriteString("modules:\n")
	for name, module := range modules {
		fmt.Fprintf(&config, "  %s: %s\n", name, module)
	}
	config.WriteString("targets:\n")
	for name, host := range targets {
		fmt.Fprintf(&config, "  - {name: %s, hosts: [%s], modules: [%s], authorization: {owner: me}, expect: {tcp: {%s}}}\n",
			name, host, strings.Join(slices.Sorted(maps.Keys(modules)), ", "), expect)
	}
	probe := newProber(t, config.String())
	flag := regexp.MustCompile(`(?m)^portscan_address_suspect\{.*\} 1$`)
	reason := regexp.MustCompile(`, suspect \((\w+)\)`)
	var all sync.WaitGroup
	for _, c := range cases {
		for method := range strings.SplitSeq(c.methods, ",") {
			all.Go(func() {
				body := probe("target=" + c.target + "&module=" + c.module(method) + "&debug=true")
				got := append(reason.FindStringSubmatch(body), "", "")[1]
				if !regexp.MustCompile("^("+c.reason+")$").MatchString(got) || flag.MatchString(body) != (got != "") {
					t.Errorf("%s with %s: suspect (%s), want (%s)\n%s", c.target, c.module(method), got, c.reason, describePorts(body))
				}
			})
		}
	}
	all.Wait()
}

// module returns the name of the case's module for a method.
func (c suspectCase) module(method string) string {
	return method + "_" + strings.ReplaceAll(c.ports, ",", "_")
}

// describePorts returns the lines of an answer with the number of ports by state.
func describePorts(body string) string {
	return strings.Join(regexp.MustCompile(`(?m)^(portscan_ports\{|portscan_scan_attempts|probe_).* \S+$`).FindAllString(body, -1), "\n")
}

// TestProbeCatchAll scans a catch-all listener in front of a target that is switched off with
// modules of several sizes: it is suspect, even if all ports are declared. Hosts with real
// services on all ports of a module are not, whether they refuse or drop other ports.
func TestProbeCatchAll(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	one := func(last byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, last})} }
	real300 := map[string]testnet.Answer{"22,443,1000-1299": testnet.Accept}
	testnet.Start(
		t, testnet.Host{Addrs: one(1), Default: testnet.Accept},
		testnet.Host{Addrs: one(2), Ports: real300},
		testnet.Host{Addrs: one(3), Ports: real300, Default: testnet.Drop},
	)
	targets := map[string]string{"catchall": "192.0.2.1", "balancer": "192.0.2.2", "firewalled": "192.0.2.3"}
	var cases []suspectCase
	for _, ports := range []string{"22,443", "1-20", "1-200", "1-512", "1-2000"} {
		cases = append(cases, suspectCase{target: "catchall", ports: ports, reason: "control_ports"})
	}
	for _, ports := range []string{"22,443", "1000-1299", "1-2000"} {
		cases = append(cases, suspectCase{target: "balancer", ports: ports}, suspectCase{target: "firewalled", ports: ports})
	}
	checkSuspects(t, targets, `open: "22,443", allow: "1-2000"`, cases...)
}

// TestProbeRedirect redirects the connections of this machine to a catch-all listener, like a
// service mesh. The target is switched off. A half-open scan detects the translation.
func TestProbeRedirect(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "iptables")
	testnet.StartSimulation(t, testnet.Simulation{Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	catchAll, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = catchAll.Close() })
	go func() {
		for {
			c, err := catchAll.Accept()
			if err != nil {
				return
			}
			_ = c.Close()
		}
	}()
	port := netip.MustParseAddrPort(catchAll.Addr().String()).Port()
	testnet.Filter(t, fmt.Sprintf(`table ip mesh { chain out { type nat hook output priority -100 ;
		ip daddr 203.0.113.0/24 meta l4proto tcp redirect to :%d
	}
	}
	`, port))
	checkSuspects(t, map[string]string{"mesh": "203.0.113.9"}, `open: "22,443"`, suspectCase{target: "mesh", ports: "22,443", reason: "control_ports", methods: "connect"})
}

// TestProbeSYNProxy scans a host behind the kernel's SYN proxy, which answers for all ports.
func TestProbeSYNProxy(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	one := func(last byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, last})} }
	services := map[string]testnet.Answer{"22,80,443": testnet.Accept, "50": testnet.Drop}
	hosts := testnet.Start(t, testnet.Host{Addrs: one(1), Ports: services}, testnet.Host{Addrs: one(2), Ports: services})
	hosts[0].Filter(t, `table ip proxy {
		chain raw { type filter hook prerouting priority -300 ; tcp flags & (fin | syn | rst | ack) == syn notrack
		}
		chain in { type filter hook input priority 0 ; ct state invalid,untracked meta l4proto tcp synproxy mss 1460 wscale 7 timestamp sack-perm
			ct state invalid drop
		}
	}
	`)
	testnet.NeedProgram(t, "iptables")
	hosts[1].Exec(t, "iptables", strings.Fields("-t raw -A PREROUTING -p tcp --syn -j CT --notrack")...)
	hosts[1].Exec(t, "iptables", strings.Fields("-A INPUT -p tcp -m conntrack --ctstate INVALID,UNTRACKED -j SYNPROXY --sack-perm --timestamp --wscale 7 --mss 1460")...)
	hosts[1].Exec(t, "iptables", strings.Fields("-A INPUT -m conntrack --ctstate INVALID -j DROP")...)
	for _, h := range hosts {
		h.Exec(t, "sysctl", "-w", "net.netfilter.nf_conntrack_tcp_loose=0")
	}
	checkSuspects(t, map[string]string{"nft": "192.0.2.1", "iptables": "192.0.2.2"}, "open: 22", suspectCase{target: "nft", ports: "20-80", reason: "zero_windows|handshake_resets"},
		suspectCase{target: "iptables", ports: "20-80", reason: "zero_windows|handshake_resets"})
}

// TestProbeSYNProxyAtRate scans a host with a SYN proxy that starts during the scan and answers
// for the last 265 of 1,000 ports, and an honest host with 20 services.
func TestProbeSYNProxyAtRate(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	const start = 735
	const late = "turned_ports|open_ports|control_ports" // more ports than 265 are open if answers are late
	proxied := netip.MustParseAddr("203.0.113.1")
	tried := make(map[uint16]bool)
	sim := testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(addr netip.Addr, port uint16, _ int) testnet.Reply {
			if addr == proxied {
				tried[port] = true
			}
			if port%50 == 22 || addr == proxied && len(tried) > start {
				return testnet.Reply{Answer: testnet.Accept}
			}
			return testnet.Reply{Answer: testnet.Refuse}
		},
	})
	honest := netip.MustParseAddr("203.0.113.2")
	targets := map[string]string{"proxied": proxied.String(), "honest": honest.String()}
	for i, method := range []string{"connect", "syn"} {
		clear(tried)
		checkSuspects(
			t, targets, "open: 22",
			suspectCase{target: "proxied", ports: "1-1000", reason: late, methods: method},
			suspectCase{target: "honest", ports: "1-1000", methods: method},
		)
		for port := uint16(22); port <= 1000; port += 50 {
			if got := sim.Attempts(honest, port); got > 3*(i+1) {
				t.Errorf("attempts at open port %d after %d scans = %d, want at most 3 each", port, i+1, got)
			}
		}
	}
}

// TestProbeMailProxy scans transparent mail proxies in front of silent hosts with modules of
// few ports, and a mail server.
func TestProbeMailProxy(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	one := func(last byte) []netip.Addr { return []netip.Addr{netip.AddrFrom4([4]byte{192, 0, 2, last})} }
	testnet.Start(
		t, testnet.Host{Addrs: one(1), Default: testnet.Drop, Ports: map[string]testnet.Answer{"25,110": testnet.Accept}},
		testnet.Host{Addrs: one(2), Default: testnet.Drop, Ports: map[string]testnet.Answer{"22,25,110": testnet.Accept}},
	)
	checkSuspects(
		t, map[string]string{"proxied": "192.0.2.1", "mail": "192.0.2.2"}, "",
		suspectCase{target: "proxied", ports: "25-114", reason: "mail_proxy"},
		suspectCase{target: "proxied", ports: "20-25,100-113", reason: "mail_proxy"},
		suspectCase{target: "mail", ports: "20-114"},
	)
}
