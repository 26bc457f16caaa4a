// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// natCase is a set of local NAT rules and the states of ports with them.
type natCase struct {
	name       string
	rules      string   // with FAMILY, HOPS for its hop limit, LOOPBACK, LOCAL for the scanner's address and HOST for the host's
	local      bool     // scan the scanner's address instead of the host's
	ports      string   // scanned
	all        bool     // all ports are translated
	translated []uint16 // if not all
	open       []uint16 // as applications see them
	filtered   []uint16
}

func (c natCase) isTranslated(port uint16) bool {
	return c.all || slices.Contains(c.translated, port)
}

// state is the port's state for an application, which is unaware of the translation.
func (c natCase) state(_ netip.Addr, port uint16) scan.State {
	switch {
	case slices.Contains(c.open, port):
		return scan.Open
	case slices.Contains(c.filtered, port):
		return scan.Filtered
	default:
		return scan.Closed
	}
}

// containerRules are the rules of a container engine for published ports: DNAT in
// prerouting and output, and masquerading of the container's connections to itself.
const containerRules = `table FAMILY nat {
	chain published {
		tcp dport 8080 dnat to HOST:80
		tcp dport 8081 dnat to HOST:9
		tcp dport 8082 dnat to HOST:82
		udp dport 5353 dnat to HOST:53
		udp dport 5354 dnat to HOST:54
	}
	chain prerouting { type nat hook prerouting priority dstnat ; fib daddr type local jump published
	}
	chain output { type nat hook output priority -100 ; FAMILY daddr != LOOPBACK fib daddr type local jump published
	}
	chain postrouting { type nat hook postrouting priority srcnat ; FAMILY saddr HOST FAMILY daddr HOST masquerade
	}
}
`

// natRules returns the rules of a table with one chain.
func natRules(hook, rule string) string {
	priority := map[string]string{"output": "-100", "postrouting": "srcnat"}[hook]
	return "table FAMILY nat {\nchain " + hook + " { type nat hook " + hook + " priority " + priority + " ; " + rule + "\n}\n}\n"
}

func natCases() []natCase {
	return []natCase{
		{
			name: "published ports of a container", rules: containerRules, local: true, ports: "8070-8090,5350-5360",
			translated: []uint16{8080, 8081, 8082}, open: []uint16{8080}, filtered: []uint16{8082},
		},
		{
			name: "source port of one service", rules: natRules("postrouting", "FAMILY daddr HOST tcp dport 22 masquerade to :10000-20000 fully-random"),
			ports: "20-30,75-85", translated: []uint16{22}, open: []uint16{22, 80}, filtered: []uint16{81, 82},
		},
		{
			name: "redirect to a local proxy", rules: natRules("output", "FAMILY daddr HOST meta l4proto { tcp, udp } th dport { 53, 79 } redirect to :3128"),
			ports: "20-30,50-60,75-85", translated: []uint16{53, 79}, open: []uint16{22, 53, 79, 80}, filtered: []uint16{81, 82},
		},
		{
			name: "redirect to a closed local port", rules: natRules("output", "FAMILY daddr HOST tcp dport { 22, 23 } redirect to :3129"),
			ports: "20-30,75-85", translated: []uint16{22, 23}, open: []uint16{80}, filtered: []uint16{81, 82},
		},
		{
			name: "another port of the host", rules: natRules("output", "FAMILY daddr HOST tcp dport 8000-8002 dnat to HOST:80"),
			ports: "7990-8020", translated: []uint16{8000, 8001, 8002}, open: []uint16{8000, 8001, 8002},
		},
		{
			name: "another port and hop limit",
			rules: natRules("output", "FAMILY daddr HOST tcp dport 8100-8102 dnat to HOST:80") +
				"table FAMILY nat {\nchain raise { type filter hook postrouting priority mangle ; HOPS set 65\n}\n}\n",
			ports: "8090-8110", translated: []uint16{8100, 8101, 8102}, open: []uint16{8100, 8101, 8102},
		},
		// Connection tracking remembers translated SYNs without an answer for two minutes, so
		// cases in which all ports are translated come last.
		{
			name: "source address", rules: natRules("postrouting", "FAMILY daddr HOST snat to LOCAL"),
			ports: "20-30,50-60,75-85", all: true, open: []uint16{22, 80}, filtered: []uint16{81, 82},
		},
		{
			name:  "source address and port",
			rules: natRules("postrouting", "FAMILY daddr HOST meta l4proto { tcp, udp } snat to LOCAL:10000-20000 fully-random"),
			ports: "20-30,50-60,75-85", all: true, open: []uint16{22, 80}, filtered: []uint16{81, 82},
		},
	}
}

// withNAT runs the test with each set of rules in both families.
func withNAT(t *testing.T, test func(t *testing.T, c natCase, target netip.Addr)) {
	t.Helper()
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target4, target6}, ICMPsPerSecond: -1,
		Ports: map[string]testnet.Answer{"22,80": testnet.Accept, "81": testnet.RejectAdmin, "82": testnet.Drop},
		UDP:   map[string]testnet.UDPAnswer{"53": testnet.UDPReply},
	})[0]
	testnet.AddAddress(t, own4, own6)
	serveTCP(t, netip.IPv6Unspecified(), 3128, discardData) // the proxy
	// Linux answers neighbor solicitations only for addresses of the receiving interface.
	host.Exec(t, "ip", "route", "add", own6.String(), "via", "2001:db8:ffff::fe", "dev", "wire")
	for _, c := range natCases() {
		for family, replace := range map[string]*strings.Replacer{
			"ip":  strings.NewReplacer("FAMILY", "ip", "HOPS", "ip ttl", "LOOPBACK", "127.0.0.0/8", "LOCAL", own4.String(), "HOST", target4.String()),
			"ip6": strings.NewReplacer("FAMILY", "ip6", "HOPS", "ip6 hoplimit", "LOOPBACK", "::1", "LOCAL:", "["+own6.String()+"]:", "LOCAL", own6.String(), "HOST:", "["+target6.String()+"]:", "HOST", target6.String()),
		} {
			t.Run(c.name+" "+family, func(t *testing.T) {
				testnet.Filter(t, replace.Replace(c.rules))
				defer testnet.Filter(t, "delete table "+family+" nat\n")
				target := map[string]netip.Addr{"ip": target4, "ip6": target6}[family]
				if c.local {
					target = map[string]netip.Addr{"ip": own4, "ip6": own6}[family]
				}
				test(t, c, target)
			})
		}
	}
}

// expectNAT compares the results with the states for applications. With unknown,
// translated ports must be unknown instead.
func expectNAT(t *testing.T, c natCase, unknown bool, got map[netip.AddrPort]scan.PortResult) {
	t.Helper()
	const shown = 5
	wrong := 0
	for at, r := range got {
		want, translated := c.state(at.Addr(), at.Port()), unknown && c.isTranslated(at.Port())
		if translated {
			want = scan.Unknown
		}
		if r.State == want && (r.Cause == scan.CauseTranslated) == translated {
			continue
		}
		if wrong++; wrong <= shown {
			t.Errorf("state of %v = %v (%v), want %v", at, r.State, r.Cause, want)
		}
	}
	if wrong > shown {
		t.Errorf("wrong states = %d of %d, want 0", wrong, len(got))
	}
}

// TestSYNWithNAT scans with local NAT. A half-open scan receives packets before the kernel
// reverts the translation: translated ports must be unknown (translated), all others have the
// right states.
func TestSYNWithNAT(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	withNAT(t, func(t *testing.T, c natCase, target netip.Addr) {
		t.Helper()
		for _, retries := range []int{0, 2} {
			spec := defaultSpec(c.ports)
			spec.Retries, spec.MaxRetries, spec.PortTimeout = retries, 5*retries, 300*time.Millisecond
			ctx, cancel := context.WithTimeout(t.Context(), spec.Timeout)
			defer cancel()
			expectNAT(t, c, true, scanAll(ctx, t, testSYN(t, Limits{}), testRequest(t, spec, target)))
		}
	})
}

// TestSYNWithNATConcurrently runs three scans with several workers each, which share the socket
// for translated packets: all states must be right.
func TestSYNWithNATConcurrently(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4}, Ports: map[string]testnet.Answer{"80": testnet.Accept}})
	testnet.AddAddress(t, own4)
	testnet.Filter(t, "table ip nat {\nchain output { type nat hook output priority -100 ; ip daddr 192.0.2.1 tcp dport 8000-8099 dnat to 192.0.2.10:80\n}\n}\n")
	c := natCase{}
	for port := uint16(8000); port < 8100; port++ {
		c.translated = append(c.translated, port)
	}
	e := testSYN(t, Limits{})
	var scans sync.WaitGroup
	for range 3 {
		scans.Go(func() {
			expectNAT(t, c, true, scanConcurrently(t.Context(), t, e, testRequest(t, defaultSpec("1-65535"), own4)))
		})
	}
	scans.Wait()
}

// TestConnectWithNAT scans with local NAT. Applications are unaware of it, and so are connect
// scans: all ports must have the states that applications see.
func TestConnectWithNAT(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	withNAT(t, func(t *testing.T, c natCase, target netip.Addr) {
		t.Helper()
		all := engines(t, Limits{})
		for _, name := range []string{"connect", "dial"} {
			spec := defaultSpec(c.ports)
			spec.PortTimeout = 300 * time.Millisecond
			expectNAT(t, c, false, scanAll(t.Context(), t, all[name], testRequest(t, spec, target)))
		}
	})
}

// TestUDPWithNAT scans with local NAT. The kernel reverts the translation before a socket
// receives an answer: all ports must have the states that applications see.
func TestUDPWithNAT(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	withNAT(t, func(t *testing.T, c natCase, target netip.Addr) {
		t.Helper()
		e, err := NewUDP(testBudget(t, Limits{}))
		if err != nil {
			t.Fatal(err)
		}
		udp := natCase{} // no port is filtered
		switch {
		case c.local:
			udp.open = []uint16{5353}
		case !slices.Contains(c.translated, 53):
			udp.open = []uint16{53}
		}
		expectNAT(t, udp, false, scanAll(t.Context(), t, e, testRequest(t, udpSpec("50-60,5350-5360"), target)))
	})
}

// TestSYNWithRouterNAT scans via a router that masquerades and sends the packets back to this
// machine, which forwards them. The scanner receives SYNs with other addresses, but only the
// router has translated them: all states must be right.
func TestSYNWithRouterNAT(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	router4, router6 := netip.MustParseAddr("192.0.2.50"), netip.MustParseAddr("2001:db8::50")
	hosts := testnet.Start(
		t, testnet.Host{Addrs: []netip.Addr{router4, router6}},
		testnet.Host{Addrs: []netip.Addr{target4, target6}, Ports: map[string]testnet.Answer{"22,80": testnet.Accept, "81": testnet.RejectAdmin, "82-99": testnet.Drop}},
	)
	router, target := hosts[0], hosts[1]
	forward(t)
	router.Exec(t, "sh", "-c", "cd /proc/sys/net && echo 0 >ipv4/conf/all/send_redirects && echo 0 >ipv4/conf/wire/send_redirects && echo 1 >ipv4/ip_forward && echo 1 >ipv6/conf/all/forwarding")
	router.Filter(t, "table inet nat {\nchain postrouting { type nat hook postrouting priority srcnat ; oifname wire ip daddr 192.0.2.10 masquerade\noifname wire ip6 daddr 2001:db8::10 masquerade\n}\n}\n")
	for family, addrs := range map[string][3]string{"-4": {target4.String(), router4.String(), "198.51.100.254"}, "-6": {target6.String(), router6.String(), "2001:db8:ffff::fe"}} {
		router.Exec(t, "ip", family, "route", "add", addrs[0], "via", addrs[2], "dev", "wire")
		target.Exec(t, "ip", family, "route", "add", addrs[1], "via", addrs[2], "dev", "wire")
		ip(t, family, "route", "add", addrs[0], "via", addrs[1], "table", "100")
		ip(t, family, "rule", "add", "iif", "lo", "lookup", "100", "priority", "10")
	}
	spec := defaultSpec("1-100")
	spec.PortTimeout = 300 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), spec.Timeout)
	defer cancel()
	score := testnet.CompareReports(target.State, scanAll(ctx, t, testSYN(t, Limits{}), testRequest(t, spec, target4, target6)))
	if score.Wrong() > 0 || score.Unknown() > 0 {
		t.Errorf("\n%v", score)
	}
	if n := router.Counts(t).SYNsIn; n < 200 {
		t.Errorf("SYNs received by the router = %d, want at least 200", n)
	}
}

// forward makes this namespace a router.
func forward(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1", "ipv4/conf/all/rp_filter": "0", "ipv4/conf/all/send_redirects": "0"} {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
