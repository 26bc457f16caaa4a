// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// allEngines returns the engines of both protocols. The names of those for UDP end with
// "udp".
func allEngines(t *testing.T) map[string]*Engine {
	t.Helper()
	all := engines(t, Limits{})
	for name, newEngine := range map[string]func(*Budget) (*Engine, error){"udp": NewUDP, "dialudp": NewDialUDP} {
		e, err := newEngine(testBudget(t, Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = e
	}
	return all
}

// specFor returns the default module of the engine's protocol.
func specFor(engine, ports string) scan.Spec {
	if strings.HasSuffix(engine, "udp") {
		return udpSpec(ports)
	}
	return defaultSpec(ports)
}

// linkName returns the scanner's interface to the only test host.
func linkName(t *testing.T) string {
	t.Helper()
	links, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Flags&net.FlagLoopback == 0 {
			return l.Name
		}
	}
	t.Fatal("no interface besides loopback")
	return ""
}

// wantAll fails the test unless all ports have the state and cause, before the deadline.
func wantAll(ctx context.Context, t *testing.T, name string, got map[netip.AddrPort]scan.PortResult, want string) {
	t.Helper()
	if counts := census(got); counts[want] != len(got) {
		t.Errorf("%s: states = %v, want %d %s", name, counts, len(got), want)
	}
	if ctx.Err() != nil {
		t.Errorf("%s: the scan ended at its deadline, want before", name)
	}
}

// localRejects returns, by port, the rejects of an output filter with each ICMP error that
// nftables supports.
func localRejects() map[uint16]string {
	return map[uint16]string{
		100: "icmpx port-unreachable", 101: "icmpx host-unreachable", 102: "icmpx admin-prohibited", 103: "icmpx no-route",
		104: "icmp net-prohibited", 105: "icmp host-prohibited", 106: "icmp prot-unreachable",
		107: "icmpv6 addr-unreachable", 108: "icmpv6 policy-fail", 109: "icmpv6 reject-route",
	}
}

// rejectRules returns the rules of an output filter with the localRejects.
func rejectRules() string {
	var b strings.Builder
	b.WriteString("table inet ours { chain out { type filter hook output priority 0 ;\n")
	for port, with := range localRejects() {
		kind, code, _ := strings.Cut(with, " ")
		switch kind {
		case "icmp":
			fmt.Fprintf(&b, "meta nfproto ipv4 ")
			kind = "icmp type"
		case "icmpv6":
			fmt.Fprintf(&b, "meta nfproto ipv6 ")
			kind = "icmpv6 type"
		}
		fmt.Fprintf(&b, "meta l4proto { tcp, udp } th dport %d reject with %s %s\n", port, kind, code)
	}
	b.WriteString("}\n}\n")
	return b.String()
}

// rejected reports whether the rejectRules reject the port of an address.
func rejected(at netip.AddrPort) bool {
	with, ok := localRejects()[at.Port()]
	return ok && (at.Addr().Is4() || !strings.HasPrefix(with, "icmp ")) && (at.Addr().Is6() || !strings.HasPrefix(with, "icmpv6 "))
}

// TestLocalRejects scans through an output filter of this machine that rejects with each ICMP
// error: the ports must be unknown (permission), because this machine forbids the attempts.
func TestLocalRejects(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1,
		Ports: map[string]testnet.Answer{"22,100-105": testnet.Accept}, UDP: map[string]testnet.UDPAnswer{"22,100-105": testnet.UDPReply},
	})[0]
	testnet.Filter(t, rejectRules())
	for name, e := range allEngines(t) {
		if name == "dial" {
			continue // it does not receive the sender of an ICMP error
		}
		for at, r := range scanAll(t.Context(), t, e, testRequest(t, specFor(name, "20-24,98-112"), target4, target6)) {
			want, cause := host.State(at.Addr(), at.Port()), r.Cause
			if strings.HasSuffix(name, "udp") {
				want = host.UDPState(at.Addr(), at.Port())
			}
			if rejected(at) {
				want, cause = scan.Unknown, scan.CausePermission
			}
			if r.State != want || r.Cause != cause {
				t.Errorf("%s: state of %v (%s) = %v (%v), want %v (%v)", name, at, localRejects()[at.Port()], r.State, r.Cause, want, cause)
			}
		}
	}
}

// TestLocalRejectOfHost scans through an output filter that rejects all packets with the error
// that the kernel itself returns if a neighbor does not resolve. The kernel never sends a
// neighbor request, but all ports must be unknown (permission), not no_route.
func TestLocalRejectOfHost(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}})
	testnet.AddAddress(t, own4, own6)
	testnet.Filter(t, `table inet ours { chain out { type filter hook output priority 0 ;
		meta l4proto { tcp, udp } th dport 20-40 reject with icmpx host-unreachable
	}
	}
	`)
	for name, e := range allEngines(t) {
		if name == "dial" {
			continue // it does not receive the sender of an ICMP error
		}
		for _, addr := range []netip.Addr{target4, target6} {
			ip(t, "neigh", "flush", "all")
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			got := scanAll(ctx, t, e, testRequest(t, specFor(name, "20-40"), addr))
			wantAll(ctx, t, fmt.Sprint(name, " ", addr), got, "unknown permission")
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), time.Second)
			got = scanAll(ctx, t, e, testRequest(t, specFor(name, "20-40"), addr))
			wantAll(t.Context(), t, fmt.Sprint(name, " ", addr, ", in 1s"), got, "unknown permission")
			cancel()
		}
	}
}

// TestLocalRejectOfOwnPort scans an address of this machine through an output filter that
// rejects datagrams with "port unreachable": the ports must be unknown (permission), not closed.
func TestLocalRejectOfOwnPort(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4, own6)
	testnet.Filter(t, `table inet ours { chain out { type filter hook output priority 0 ;
		meta l4proto udp th dport 20-40 reject with icmpx port-unreachable
	}
	}
	`)
	for name, e := range allEngines(t) {
		if !strings.HasSuffix(name, "udp") {
			continue
		}
		for _, addr := range []netip.Addr{own4, own6} {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			got := scanAll(ctx, t, e, testRequest(t, udpSpec("20-40"), addr))
			wantAll(ctx, t, fmt.Sprint(name, " ", addr), got, "unknown permission")
			cancel()
		}
	}
}

// TestWithoutIPv6 scans an IPv6 address with IPv6 disabled on the interface, and on the machine,
// as container engines do: all ports must be unknown (no_route), and the scan must not wait for
// source ports until its deadline. The ports of an IPv4 address must be closed.
func TestWithoutIPv6(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1})
	all := allEngines(t)
	for _, scope := range []string{linkName(t), "all"} {
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+scope+"/disable_ipv6", []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		for name, e := range all {
			ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
			got := scanAll(ctx, t, e, testRequest(t, specFor(name, "20-40"), target6))
			wantAll(ctx, t, fmt.Sprint(name, ", disabled on ", scope), got, "unknown no_route")
			cancel()
			for at, r := range scanAll(t.Context(), t, e, testRequest(t, specFor(name, "20-40"), target4)) {
				if r.State != scan.Closed {
					t.Errorf("%s, IPv6 disabled on %s: state of %v = %v (%v), want %v", name, scope, at, r.State, r.Cause, scan.Closed)
				}
			}
		}
	}
}

// holdLocalPorts listens on the local ports of both families and protocols until the test ends.
func holdLocalPorts(t *testing.T, first, last uint16) {
	t.Helper()
	for port := first; port <= last; port++ {
		at := netip.AddrPortFrom(netip.IPv6Unspecified(), port)
		l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
	}
}

// TestWithoutSourcePorts scans while all ephemeral ports are in use, on a machine with source
// addresses of both families: all ports must be unknown (source_ports).
func TestWithoutSourcePorts(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}})
	testnet.AddAddress(t, own4, own6)
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_local_port_range", []byte("40000 40003"), 0o600); err != nil {
		t.Fatal(err)
	}
	holdLocalPorts(t, 40000, 40003)
	for name, e := range allEngines(t) {
		for _, addr := range []netip.Addr{target4, target6, own4, own6} {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			got := scanAll(ctx, t, e, testRequest(t, specFor(name, "20-40"), addr))
			cancel()
			wantAll(t.Context(), t, fmt.Sprint(name, " ", addr), got, "unknown source_ports")
		}
	}
}

// TestWithoutIPv4 scans with a route but no IPv4 source address, so that the kernel sends from
// 0.0.0.0 and no answer can arrive: all ports must be unknown (no_route), not filtered.
func TestWithoutIPv4(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}})
	link := linkName(t)
	ip(t, "-4", "address", "flush", "dev", link)
	ip(t, "route", "add", target4.String(), "dev", link)
	for name, e := range allEngines(t) {
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		got := scanAll(ctx, t, e, testRequest(t, specFor(name, "20-40"), target4))
		wantAll(ctx, t, name, got, "unknown no_route")
		cancel()
	}
}

// TestFullSendQueue scans through an interface that sends few packets a second, with a queue for
// three. No state may be wrong, and the ports to which no packet was sent must be unknown
// (deadline).
func TestFullSendQueue(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "tc")
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1,
		Ports: map[string]testnet.Answer{"120-130": testnet.Accept}, UDP: map[string]testnet.UDPAnswer{"120-130": testnet.UDPReply},
	})[0]
	slow := strings.Fields("qdisc replace dev " + linkName(t) + " root tbf rate 8kbit burst 200 limit 300")
	if out, err := exec.CommandContext(t.Context(), "tc", slow...).CombinedOutput(); err != nil {
		t.Fatalf("tc %v: %v\n%s", slow, err, out)
	}
	for name, e := range allEngines(t) {
		if strings.HasPrefix(name, "dial") {
			continue // Linux does not report a full queue to it
		}
		for _, addr := range []netip.Addr{target4, target6} {
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			got := scanAll(ctx, t, e, testRequest(t, specFor(name, "100-499"), addr))
			cancel()
			truth := host.State
			if name == "udp" {
				truth = host.UDPState
			}
			score := testnet.CompareReports(truth, got)
			if score.Wrong() > 0 || score.Unknown() == 0 || score.Unknown() != score.UnknownByCause(scan.CauseDeadline) {
				t.Errorf("%s: states of %v = %v, want unknown (deadline) or the right ones:\n%v", name, addr, census(got), score)
			}
		}
	}
}

// TestMayBeUnreachable requires mayBeUnreachable to report whether the kernel itself may return
// "host unreachable" for an address. For the others only a filter returns that error.
func TestMayBeUnreachable(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	addLinks(t, "wa", "nowhere")
	ip(t, "link", "set", "nowhere", "arp", "off")
	ip(t, "address", "add", "192.0.2.1/24", "dev", "wa")
	ip(t, "neigh", "replace", "192.0.2.2", "lladdr", "02:00:00:00:00:09", "dev", "wa", "nud", "permanent")
	ip(t, "neigh", "replace", "192.0.2.3", "dev", "wa", "nud", "failed")
	ip(t, "route", "add", "198.51.100.0/25", "via", "192.0.2.3")
	ip(t, "route", "add", "198.51.100.128/26", "dev", "nowhere")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply:    func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{} },
	})
	for _, tc := range []struct {
		name, to string
		want     bool
	}{
		{"own address", "192.0.2.1", false},
		{"neighbor", "192.0.2.2", false},
		{"neighbor that does not resolve", "192.0.2.3", true},
		{"gateway that does not resolve", "198.51.100.7", true},
		{"neighbor without an entry", "192.0.2.4", false},
		{"link without neighbors", "198.51.100.130", false},
		{"tunnel", "203.0.113.7", true},
		{"no route", "2001:db8:1::1", true},
	} {
		if got := new(machine).mayBeUnreachable(netip.Addr{}, netip.MustParseAddr(tc.to)); got != tc.want {
			t.Errorf("%s: mayBeUnreachable(%s) = %v, want %v", tc.name, tc.to, got, tc.want)
		}
	}
}
