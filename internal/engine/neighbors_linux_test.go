// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// fewAttempts is the maximum number of attempts at an address that no host has: enough for the
// kernel to resolve it, not one per port.
const fewAttempts = 2 * unresolvedAttempts

// linkEngines returns, for each engine that reads the kernel's neighbor table, a function that
// scans with the default module of the engine's protocol.
func linkEngines(t *testing.T) map[string]func(ctx context.Context, ports string, addrs ...netip.Addr) map[netip.AddrPort]scan.PortResult {
	t.Helper()
	all := engines(t, Limits{})
	udp, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	scans := make(map[string]func(context.Context, string, ...netip.Addr) map[netip.AddrPort]scan.PortResult)
	for name, e := range map[string]*Engine{"connect": all["connect"], "syn": all["syn"], "udp": udp} {
		scans[name] = func(ctx context.Context, ports string, addrs ...netip.Addr) map[netip.AddrPort]scan.PortResult {
			spec := defaultSpec(ports)
			if name == "udp" {
				spec = udpSpec(ports)
			}
			return scanAll(ctx, t, e, testRequest(t, spec, addrs...))
		}
	}
	return scans
}

// byAddress returns the results of one address, counted by state and cause, and the number
// of attempts.
func byAddress(results map[netip.AddrPort]scan.PortResult, addr netip.Addr) (states map[string]int, attempts int) {
	states = make(map[string]int)
	for at, r := range results {
		if at.Addr() == addr {
			states[r.State.String()+" "+r.Cause.String()]++
			attempts += r.Attempts
		}
	}
	return states, attempts
}

// wantUnused requires one state for all ports of an address, and few attempts.
func wantUnused(t *testing.T, name string, results map[netip.AddrPort]scan.PortResult, addr netip.Addr, want string, ports int) {
	t.Helper()
	states, attempts := byAddress(results, addr)
	if states[want] != ports {
		t.Errorf("%s: states of %v = %v, want %d %s", name, addr, states, ports, want)
	}
	if attempts > fewAttempts {
		t.Errorf("%s: attempts at %v = %d, want at most %d", name, addr, attempts, fewAttempts)
	}
}

// routeUnused adds routes to addresses that no host has, on the host's link, and returns them.
func routeUnused(t *testing.T, host *testnet.RunningHost) []netip.Addr {
	t.Helper()
	var addrs []netip.Addr
	for _, text := range []string{"192.0.2.8", "192.0.2.11", "192.0.2.12", "192.0.2.15", "2001:db8::8", "2001:db8::11"} {
		addr := netip.MustParseAddr(text)
		host.RouteTo(t, addr)
		addrs = append(addrs, addr)
	}
	return addrs
}

// TestUnusedAddresses scans two addresses of a host and several on-link addresses that no host
// has. The unused addresses must be filtered (no_neighbor), as they are behind a router, and no
// port of the host unknown.
func TestUnusedAddresses(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1, Ports: map[string]testnet.Answer{"22": testnet.Accept, "80": testnet.Drop},
		UDP: map[string]testnet.UDPAnswer{"161": testnet.UDPReply},
	})[0]
	unused := routeUnused(t, host)
	for name, scanned := range linkEngines(t) {
		got := scanned(t.Context(), "1-400", append([]netip.Addr{target4, target6}, unused...)...)
		for _, addr := range unused {
			wantUnused(t, name, got, addr, "filtered no_neighbor", 400)
		}
		for _, addr := range []netip.Addr{target4, target6} {
			states, _ := byAddress(got, addr)
			for state, n := range states {
				if state == "filtered no_neighbor" || state[:7] == "unknown" {
					t.Errorf("%s: ports of %v that are %s = %d, want 0", name, addr, state, n)
				}
			}
		}
	}
}

// TestUnusedAddressesOnly scans addresses that no host has and no others. They must be filtered
// if another neighbor of the same link is reachable, and otherwise unknown.
func TestUnusedAddressesOnly(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}})[0]
	unused, unused6 := netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8::200")
	host.RouteTo(t, unused)
	host.RouteTo(t, unused6)
	addLinks(t, "empty")
	ip(t, "address", "add", "192.0.2.1/32", "dev", "empty")
	ip(t, "address", "add", "2001:db8::1/128", "dev", "empty", "nodad")
	empty4, empty6 := netip.MustParseAddr("192.0.2.201"), netip.MustParseAddr("2001:db8::201")
	ip(t, "route", "add", empty4.String(), "dev", "empty")
	ip(t, "route", "add", empty6.String(), "dev", "empty")
	for name, scanned := range linkEngines(t) {
		scanned(t.Context(), "1-3", target4, target6) // so that the neighbors are reachable
		got := scanned(t.Context(), "1-300", unused, unused6, empty4, empty6)
		wantUnused(t, name, got, unused, "filtered no_neighbor", 300)
		wantUnused(t, name, got, unused6, "filtered no_neighbor", 300)
		wantUnused(t, name, got, empty4, "unknown no_route", 300)
		wantUnused(t, name, got, empty6, "unknown no_route", 300)
	}
}

// TestReachableAfterUnused scans the only host of a link with more unused addresses than are
// scanned at the same time. The host has the highest address and is scanned last. All unused
// addresses must be filtered (no_neighbor), because it answers.
func TestReachableAfterUnused(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	last := netip.MustParseAddr("2001:db8::2:0")
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{last}, ICMPsPerSecond: -1})
	link := linkTo(t, last)
	ip(t, "route", "add", "2001:db8::/48", "dev", link)
	addrs := []netip.Addr{last}
	for i := range maxActiveHosts + 20 {
		addrs = append(addrs, netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 13: 1, 14: byte(i >> 8), 15: byte(i)}))
	}
	for name, scanned := range linkEngines(t) {
		got := scanned(t.Context(), "1-20", addrs...)
		if n := census(got)["filtered no_neighbor"]; n != 20*(len(addrs)-1) {
			t.Errorf("%s: states = %v, want %d filtered (no_neighbor)", name, census(got), 20*(len(addrs)-1))
		}
	}
}

// linkTo returns the interface to the address.
func linkTo(t *testing.T, addr netip.Addr) string {
	t.Helper()
	hop, _, err := routeOf(netip.Addr{}, addr)
	if err != nil {
		t.Fatal(err)
	}
	link, err := net.InterfaceByIndex(hop.link)
	if err != nil {
		t.Fatal(err)
	}
	return link.Name
}

// TestUnresolvedGateway scans addresses behind a gateway that does not resolve, and a reachable
// neighbor of the same link: all ports behind the gateway must be unknown (no_route), after few
// attempts at all addresses together.
func TestUnresolvedGateway(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	gateway, gateway6 := netip.MustParseAddr("192.0.2.254"), netip.MustParseAddr("2001:db8::fe")
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1})[0]
	host.RouteTo(t, gateway)
	host.RouteTo(t, gateway6)
	ip(t, "route", "add", "203.0.113.0/24", "via", gateway.String())
	ip(t, "route", "add", "2001:db8:7::/64", "via", gateway6.String())
	behind, behind6 := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:7::1")
	addrs := []netip.Addr{target4, target6}
	for range 40 {
		addrs = append(addrs, behind, behind6)
		behind, behind6 = behind.Next(), behind6.Next()
	}
	for name, scanned := range linkEngines(t) {
		got := scanned(t.Context(), "1-100", addrs...)
		total := 0
		for _, addr := range addrs[2:] {
			states, attempts := byAddress(got, addr)
			total += attempts
			if states["unknown no_route"] != 100 {
				t.Errorf("%s: states of %v = %v, want 100 unknown (no_route)", name, addr, states)
			}
		}
		if total > 2*2*fewAttempts {
			t.Errorf("%s: attempts through two gateways = %d, want at most %d", name, total, 2*2*fewAttempts)
		}
	}
}

// TestSilentNeighbor scans a host that resolves and drops all other packets: its ports must be
// filtered, or open_filtered with UDP.
func TestSilentNeighbor(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Default: testnet.Drop, DefaultUDP: testnet.UDPDrop})
	for name, scanned := range linkEngines(t) {
		want := "filtered silence"
		if name == "udp" {
			want = "open_filtered silence"
		}
		ip(t, "neigh", "flush", "all")
		got := scanned(t.Context(), "1-300", target4, target6)
		if census(got)[want] != 600 {
			t.Errorf("%s: states = %v, want 600 %s", name, census(got), want)
		}
	}
}

// TestNeighborEntryRemoved removes the neighbor entries of a silent host during a scan. If the
// host resolves again, the engine must repeat its attempts and report silence. If it does not,
// all ports must be unknown (no_route).
func TestNeighborEntryRemoved(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Default: testnet.Drop, DefaultUDP: testnet.UDPDrop})[0]
	const ports = "1-300"
	for name, scanned := range linkEngines(t) {
		silence := "filtered silence"
		if name == "udp" {
			silence = "open_filtered silence"
		}
		for _, gone := range []bool{false, true} {
			ip(t, "neigh", "flush", "all")
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			done := make(chan map[netip.AddrPort]scan.PortResult, 1)
			go func() { done <- scanned(ctx, ports, target4, target6) }()
			time.Sleep(600 * time.Millisecond) // no attempt has been conclusive yet
			if gone {
				host.Filter(t, silenced)
			}
			ip(t, "neigh", "flush", "all")
			got := <-done
			ended := ctx.Err()
			cancel()
			if gone {
				host.Filter(t, "delete table arp silenced\ndelete table ip6 silenced\n")
			}
			switch counts := census(got); {
			case !gone && (counts[silence] != 600 || ended != nil):
				t.Errorf("%s: states = %v (%v), want 600 %s", name, counts, ended, silence)
			case gone && counts["unknown no_route"] != 600:
				t.Errorf("%s, host does not resolve again: states = %v, want 600 unknown (no_route)", name, counts)
			}
		}
	}
}

// TestLinkFailure scans hosts that answer, one of them with a static neighbor entry, and unused
// addresses on their links. The links fail after the answers: the ports of the unused addresses
// must be unknown (no_route).
func TestLinkFailure(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	static := netip.MustParseAddr("192.0.2.60")
	hosts := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, ICMPsPerSecond: -1}, testnet.Host{Addrs: []netip.Addr{static}, ICMPsPerSecond: -1})
	unused := []netip.Addr{netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("192.0.2.201")}
	mac := strings.Fields(hosts[1].Exec(t, "ip", "-brief", "link", "show", "wire"))[2]
	ip(t, "neigh", "replace", static.String(), "lladdr", mac, "dev", linkTo(t, static), "nud", "permanent")
	for i, host := range hosts {
		host.RouteTo(t, unused[i])
		time.AfterFunc(500*time.Millisecond, func() { host.Exec(t, "ip", "link", "set", "wire", "down") })
	}
	for name, got := range scanWithAll(t.Context(), t, target4, static, unused[0], unused[1]) {
		for _, addr := range unused {
			wantUnused(t, name, got, addr, "unknown no_route", 100)
		}
	}
}

// TestUnusedWithStaleNeighbor scans unused addresses and a silent host whose neighbor entry is
// stale. The kernel confirms such an entry some seconds after its first use, and the scan must
// wait for that: the unused addresses must be filtered (no_neighbor) if the host resolves, and
// otherwise unknown (no_route).
func TestUnusedWithStaleNeighbor(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}, Default: testnet.Drop, DefaultUDP: testnet.UDPDrop})[0]
	unused4, unused6 := netip.MustParseAddr("192.0.2.200"), netip.MustParseAddr("2001:db8::200")
	host.RouteTo(t, unused4)
	host.RouteTo(t, unused6)
	link, mac := linkTo(t, target4), strings.Fields(host.Exec(t, "ip", "-brief", "link", "show", "wire"))[2]
	for _, table := range []string{"arp_cache", "ndisc_cache"} {
		// A new entry is as old as two times base_reachable.
		ip(t, "ntable", "change", "name", table, "dev", link, "base_reachable", "120000", "delay_probe", "4000")
	}
	for name, scanned := range linkEngines(t) {
		for _, gone := range []bool{false, true} {
			want := "filtered no_neighbor"
			if gone {
				host.Filter(t, silenced)
				want = "unknown no_route"
			}
			ip(t, "neigh", "flush", "all")
			for _, addr := range []netip.Addr{target4, target6} {
				ip(t, "neigh", "replace", addr.String(), "lladdr", mac, "dev", link, "nud", "stale")
			}
			got := scanned(t.Context(), "1-20", target4, target6, unused4, unused6)
			wantUnused(t, name, got, unused4, want, 20)
			wantUnused(t, name, got, unused6, want, 20)
			if gone {
				host.Filter(t, "delete table arp silenced\ndelete table ip6 silenced\n")
			}
		}
	}
}

// silenced is a filter with which a host neither resolves addresses nor is resolved.
const silenced = `table arp silenced {
		chain in { type filter hook input priority 0 ; drop
		}
		chain out { type filter hook output priority 0 ; drop
		}
	}
	table ip6 silenced {
		chain in { type filter hook input priority 0 ; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop
		}
		chain out { type filter hook output priority 0 ; icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } drop
		}
	}
	`
