// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// networkTimeout is the timeout of a module that scans a large network.
const networkTimeout = 2 * time.Minute

// networkPorts has 100 ports, two of which are open on the hosts of a network.
const networkPorts = "1-98,443,8080"

// sparseNetwork is a test network of which few addresses exist.
type sparseNetwork struct {
	all  []netip.Addr
	used []netip.Addr // all belong to one host
	free []netip.Prefix
	host *testnet.RunningHost
}

// newSparseNetwork returns a network, whose addresses are on the host's link, with as many addresses as
// a /23 of IPv4. With PORTSCAN_TEST_LARGE=1 it has those of a /20, in IPv6, for which addresses are
// reserved for documentation. Every 33rd address exists.
func newSparseNetwork(t *testing.T, unused testnet.Answer) *sparseNetwork {
	t.Helper()
	n := &sparseNetwork{free: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("203.0.113.0/24")}}
	if os.Getenv("PORTSCAN_TEST_LARGE") == "1" {
		n.free = []netip.Prefix{netip.MustParsePrefix("2001:db8:7::/116")}
	}
	const step = 33
	for _, prefix := range n.free {
		for addr := prefix.Addr().Next(); prefix.Contains(addr); addr = addr.Next() {
			n.all = append(n.all, addr)
			if len(n.all)%step == 0 {
				n.used = append(n.used, addr)
			}
		}
	}
	n.host = testnet.Start(t, testnet.Host{
		Addrs: n.used, ICMPsPerSecond: -1, Ports: map[string]testnet.Answer{"22,443": testnet.Accept, "80-90": unused},
	})[0]
	n.host.Filter(t, `add table arp requests
		add chain arp requests in { type filter hook input priority 0 ; }
		add rule arp requests in arp operation request counter
		add table ip6 requests
		add chain ip6 requests in { type filter hook input priority -300 ; }
		add rule ip6 requests in icmpv6 type nd-neighbor-solicit counter
		`)
	return n
}

// countRequests returns the number of requests for link-layer addresses on the host's link.
func (n *sparseNetwork) countRequests(t *testing.T) (count int) {
	t.Helper()
	for _, table := range []string{"arp", "ip6"} {
		for _, m := range regexp.MustCompile(`packets (\d+)`).FindAllStringSubmatch(n.host.Exec(t, "nft", "list", "table", table, "requests"), -1) {
			packets, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			count += packets
		}
	}
	return count
}

// networkCensus has the results of a network by address.
type networkCensus struct {
	mu       sync.Mutex
	states   map[netip.Addr]map[string]int // ports by state and cause
	attempts map[netip.Addr]int
	order    []netip.Addr // of the first result
}

// scan scans all addresses of the network, until the module's timeout.
func (n *sparseNetwork) scan(t *testing.T, name string, e *Engine) *networkCensus {
	t.Helper()
	spec := specFor(name, networkPorts)
	spec.Timeout = networkTimeout
	ctx, cancel := context.WithTimeout(t.Context(), networkTimeout)
	defer cancel()
	c := &networkCensus{states: make(map[netip.Addr]map[string]int), attempts: make(map[netip.Addr]int)}
	err := e.Scan(ctx, testRequest(t, spec, n.all...), func(r scan.PortResult) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.states[r.Address] == nil {
			c.states[r.Address] = make(map[string]int)
			c.order = append(c.order, r.Address)
		}
		c.states[r.Address][r.State.String()+" "+r.Cause.String()] += r.Count()
		c.attempts[r.Address] += r.Attempts
	})
	if err != nil || ctx.Err() != nil {
		t.Fatalf("Scan: %v, context: %v, want the end before the timeout of %v", err, ctx.Err(), networkTimeout)
	}
	return c
}

// verify requires the state of each port of each address, and returns the attempts at unused
// addresses. filtered is the state of their ports.
func (n *sparseNetwork) verify(t *testing.T, name string, c *networkCensus, filtered ...string) (attempts int) {
	t.Helper()
	used := make(map[netip.Addr]bool)
	for _, addr := range n.used {
		used[addr] = true
	}
	wrong := 0
	for _, addr := range n.all {
		states, known := c.states[addr], 0
		if used[addr] {
			open := states["open handshake"] + states["open synack"]
			tcp := open == 2 && states["filtered silence"] == 11 && states["closed rst"] == 87
			if tcp || states["closed icmp"] == 100 {
				continue
			}
		} else {
			attempts += c.attempts[addr]
			for _, state := range filtered {
				known += states[state]
			}
			if known == 100 {
				continue
			}
		}
		if wrong++; wrong <= 5 {
			t.Errorf("%s: states of %v (exists: %v) = %v", name, addr, used[addr], states)
		}
	}
	if wrong > 0 {
		t.Errorf("%s: addresses with a wrong state = %d of %d, want 0", name, wrong, len(n.all))
	}
	return attempts
}

// TestScanNetworkOnLink scans a large directly connected network of which few addresses exist, at
// the kernel's default limits of the neighbor table. All ports must have the right state. An
// unused address must cost one or two attempts and the kernel's requests, and no address that exists
// may wait until the requests for others have failed.
func TestScanNetworkOnLink(t *testing.T) {
	if !testnet.IsolatedExclusively(t) { // the neighbor table is the machine's
		return
	}
	n := newSparseNetwork(t, testnet.Drop)
	for _, prefix := range n.free {
		ip(t, "route", "add", prefix.String(), "dev", linkTo(t, n.used[0]))
	}
	all := allEngines(t)
	unused := len(n.all) - len(n.used)
	for _, name := range append(linuxEngines(), "udp") {
		requests := n.countRequests(t)
		c := n.scan(t, name, all[name])
		if got := n.verify(t, name, c, "filtered no_neighbor"); got > unused*fewAttempts {
			t.Errorf("%s: attempts at %d unused addresses = %d, want at most %d each", name, unused, got, fewAttempts)
		}
		// Each attempt makes the kernel send three (net.ipv4.neigh.default.mcast_solicit).
		const each = 3 * fewAttempts
		if got := n.countRequests(t) - requests; got > len(n.all)*each {
			t.Errorf("%s: requests for %d link-layer addresses = %d, want at most %d each", name, len(n.all), got, each)
		}
		// The first 128 addresses begin at once, and the kernel needs three seconds for an unused one.
		const first = 3
		for i, addr := range c.order[:first] {
			if c.states[addr]["filtered no_neighbor"] > 0 {
				t.Errorf("%s: address %d with a result = %v, which is unused, want one that exists", name, i, addr)
			}
		}
	}
}

// TestScanNetworkRouted scans a large network behind a router, of which few addresses exist. The
// router drops packets for the others, or rejects them. All ports must have the right state. Silence
// must cost two attempts per port at most.
func TestScanNetworkRouted(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	n := newSparseNetwork(t, testnet.Drop)
	gateway := n.used[0]
	n.routeVia(t, gateway)
	all := engines(t, Limits{})
	unused := len(n.all) - len(n.used)
	for _, variant := range []string{"drops", "rejects"} {
		if variant == "rejects" {
			n.reject(t)
		}
		for _, name := range linuxEngines() {
			c := n.scan(t, name, all[name])
			got := n.verify(t, name+", router "+variant, c, "filtered silence", "filtered icmp")
			if want := 2 * 100 * unused; got > want+want/20 {
				t.Errorf("%s, router %s: attempts at %d unused addresses = %d, want at most %d", name, variant, unused, got, want)
			}
		}
	}
}

// routeVia routes all addresses other than the gateway's via the gateway.
func (n *sparseNetwork) routeVia(t *testing.T, gateway netip.Addr) {
	t.Helper()
	var routes strings.Builder
	link := linkTo(t, gateway)
	for _, addr := range n.used[1:] {
		routes.WriteString("route replace " + addr.String() + " via " + gateway.String() + " dev " + link + "\n")
	}
	for _, prefix := range n.free {
		routes.WriteString("route add " + prefix.String() + " via " + gateway.String() + " dev " + link + "\n")
	}
	cmd := exec.CommandContext(t.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(routes.String())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("ip -batch: %v\n%s", err, out)
	}
}

// reject makes the host reject packets for other addresses, as a router does.
func (n *sparseNetwork) reject(t *testing.T) {
	t.Helper()
	n.host.Exec(t, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding")
	for _, prefix := range n.free {
		n.host.Exec(t, "ip", "route", "add", "unreachable", prefix.String())
	}
}
