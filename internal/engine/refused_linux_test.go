// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/xml"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// refusal is a way to reject packets to a port.
type refusal struct {
	port    uint16
	with    string // the kind of the firewall's rule
	message string // of the ICMP error
}

// hostRefusals returns each kind of REJECT of iptables(8), or of ip6tables(8).
func hostRefusals(four bool) []refusal {
	if four {
		return []refusal{
			{101, "icmp-net-unreachable", "net-unreachable"},
			{102, "icmp-host-unreachable", "host-unreachable"},
			{103, "icmp-port-unreachable", "port-unreachable"},
			{104, "icmp-proto-unreachable", "proto-unreachable"},
			{105, "icmp-net-prohibited", "net-prohibited"},
			{106, "icmp-host-prohibited", "host-prohibited"},
			{107, "icmp-admin-prohibited", "admin-prohibited"},
		}
	}
	return []refusal{
		{101, "icmp6-no-route", "no-route"},
		{102, "icmp6-adm-prohibited", "admin-prohibited"},
		{103, "icmp6-addr-unreachable", "addr-unreachable"},
		{104, "icmp6-port-unreachable", "port-unreachable"},
		{105, "icmp6-policy-fail", "policy-failed"},
		{106, "icmp6-reject-route", "reject-route"},
	}
}

// routerRefusals returns kinds of reject of nft(8), and the expiry of a packet's lifetime.
func routerRefusals(four bool) []refusal {
	if four {
		return []refusal{
			{111, "icmpx host-unreachable", "host-unreachable"},
			{112, "icmpx admin-prohibited", "admin-prohibited"},
			{113, "icmpx no-route", "net-unreachable"},
			{114, "icmpx port-unreachable", "port-unreachable"},
			{115, "", "time-exceeded"},
		}
	}
	return []refusal{
		{111, "icmpx host-unreachable", "addr-unreachable"},
		{112, "icmpx admin-prohibited", "admin-prohibited"},
		{113, "icmpx no-route", "no-route"},
		{114, "icmpx port-unreachable", "port-unreachable"},
		{115, "", "time-exceeded"},
	}
}

// startRefusing starts a host that is also the router to a network without hosts, with the
// refusals of both. It returns the ICMP error of each port as text.
func startRefusing(t *testing.T) map[netip.AddrPort]string {
	t.Helper()
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1})[0]
	host.Exec(t, "sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
	host.Exec(t, "ip", "link", "add", "behind", "type", "veth", "peer", "name", "behind2")
	host.Exec(t, "ip", "link", "set", "behind2", "up")
	host.Exec(t, "ip", "link", "set", "behind", "up")
	remote6 := netip.MustParseAddr("2001:db8:7::7")
	want := make(map[netip.AddrPort]string)
	for remote, router := range map[netip.Addr]netip.Addr{remote4: target4, remote6: target6} {
		prefix := netip.PrefixFrom(remote, remote.BitLen()).String()
		host.Exec(t, "ip", "route", "add", prefix, "dev", "behind")
		ip(t, "route", "add", prefix, "via", router.String())
		tables := "iptables"
		if router.Is6() {
			tables = "ip6tables"
		}
		for _, r := range hostRefusals(router.Is4()) {
			for _, protocol := range []string{"tcp", "udp"} {
				host.Exec(t, tables, "-A", "INPUT", "-p", protocol, "--dport", strconv.Itoa(int(r.port)), "-j", "REJECT", "--reject-with", r.with)
			}
			want[netip.AddrPortFrom(router, r.port)] = r.message + " from " + router.String()
		}
		for _, r := range routerRefusals(router.Is4()) {
			want[netip.AddrPortFrom(remote, r.port)] = r.message + " from " + router.String()
		}
	}
	var rules strings.Builder
	for _, r := range routerRefusals(true) {
		if r.with != "" {
			fmt.Fprintf(&rules, "meta l4proto { tcp, udp } th dport %d reject with %s\n", r.port, r.with)
		}
	}
	host.Filter(t, fmt.Sprintf(`table inet refusing { chain forwarded { type filter hook forward priority 0 ;
		%s
	}
	chain received { type filter hook prerouting priority -300 ;
		meta l4proto { tcp, udp } th dport 115 ip ttl set 1
		meta l4proto { tcp, udp } th dport 115 ip6 hoplimit set 1
	}
	}
	`, rules.String()))
	return want
}

// TestICMPErrorsOfFilters scans ports that a host and a router reject with each ICMP error that
// iptables(8) and nftables support. All engines that receive ICMP errors must report the error
// and its sender, and nmap(1) must agree. The portable engines must report none.
func TestICMPErrorsOfFilters(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "iptables", "ip6tables", "nmap")
	want := startRefusing(t)
	ports := make(map[netip.Addr]string)
	for at := range want {
		ports[at.Addr()] = strings.TrimPrefix(fmt.Sprintf("%s,%d", ports[at.Addr()], at.Port()), ",")
	}
	for name, e := range allEngines(t) {
		for addr := range ports {
			portable := strings.HasPrefix(name, "dial")
			if portable && (name != "dial" || addr != target4) {
				continue // they wait for most ports
			}
			for at, r := range scanAll(t.Context(), t, e, testRequest(t, specFor(name, ports[addr]), addr)) {
				text := want[at]
				if portable {
					text = scan.ICMPError{}.String()
				} else if r.Cause != scan.CauseICMP {
					t.Errorf("%s: %v is %v (%v), want icmp", name, at, r.State, r.Cause)
				}
				if got := r.ICMP.String(); got != text {
					t.Errorf("%s: ICMP error for %v = %s, want %s", name, at, got, text)
				}
			}
		}
	}
	for addr := range ports {
		compareWithNmap(t, addr, ports[addr], want)
	}
}

// nmapReasons returns the texts of nmap(1) for a message.
func nmapReasons(message string) []string {
	switch message {
	case "policy-failed":
		return []string{"admin-prohibited"}
	case "addr-unreachable":
		return []string{"host-unreach", "addr-unreach"}
	default:
		return []string{strings.Replace(message, "unreachable", "unreach", 1)}
	}
}

// nmapPort is a port in the XML output of nmap(1).
type nmapPort struct {
	Port  uint16 `xml:"portid,attr"`
	State struct {
		Reason string     `xml:"reason,attr"`
		From   netip.Addr `xml:"reason_ip,attr"`
	} `xml:"state"`
}

// compareWithNmap requires that a half-open scan by nmap(1) has the same ICMP errors.
func compareWithNmap(t *testing.T, addr netip.Addr, ports string, want map[netip.AddrPort]string) {
	t.Helper()
	args := []string{"-sS", "-n", "-Pn", "-oX", "-", "-p" + ports, addr.String()}
	if addr.Is6() {
		args = append(args, "-6")
	}
	out, err := exec.CommandContext(t.Context(), "nmap", args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Ports []nmapPort `xml:"host>ports>port"`
	}
	if err := xml.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Ports) != strings.Count(ports, ",")+1 {
		t.Errorf("nmap: ports of %v = %v, want %s", addr, got.Ports, ports)
	}
	for _, p := range got.Ports {
		from := addr // nmap omits it
		if p.State.From.IsValid() {
			from = p.State.From
		}
		message, sender, _ := strings.Cut(want[netip.AddrPortFrom(addr, p.Port)], " from ")
		if message == "time-exceeded" && addr.Is6() {
			continue // nmap 7.93 ignores it
		}
		if !slices.Contains(nmapReasons(message), p.State.Reason) || from.String() != sender {
			t.Errorf("nmap: port %d of %v is %s from %v, want %s from %s", p.Port, addr, p.State.Reason, from, message, sender)
		}
	}
}

// TestICMPErrorsLate scans ports for which a router's ICMP error comes after the timeout of the
// first attempt. Engines that receive late answers must report the error and its sender.
func TestICMPErrorsLate(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	router := netip.MustParseAddr("203.0.113.1")
	late := func(port uint16) bool { return port%10 == 0 }
	const delay = 600 * time.Millisecond
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			if late(port) {
				return testnet.Reply{Answer: testnet.RejectAdmin, From: router, Delay: delay}
			}
			return testnet.Reply{Answer: testnet.Refuse}
		},
		Datagram: func(_ netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply {
			if late(port) {
				return testnet.DatagramReply{Error: new(testnet.RejectAdmin), From: router, Delay: delay}
			}
			return testnet.DatagramReply{Error: new(testnet.RejectPort)}
		},
	})
	all := allEngines(t)
	for _, name := range []string{"syn", "udp"} {
		for at, r := range scanAll(t.Context(), t, all[name], testRequest(t, specFor(name, "1-200"), remote4)) {
			want := scan.ICMPError{}
			if late(at.Port()) {
				want = scan.ICMPError{From: router, Type: 3, Code: 13}
			} else if name == "udp" {
				want = scan.ICMPError{From: remote4, Type: 3, Code: 3}
			}
			if r.ICMP != want {
				t.Errorf("%s: %v is %v (%v), ICMP error %v, want %v", name, at, r.State, r.Cause, r.ICMP, want)
			}
		}
	}
}
