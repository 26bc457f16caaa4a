// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
	"portscan_exporter/internal/testnet"
)

// Addresses that targets own, and foreign ones, which must not receive packets.
var (
	owned   = addrs("192.0.2.1", "192.0.2.2", "2001:db8:1::1")
	foreign = addrs("203.0.113.1", "203.0.113.2", "2001:db8:2::1", "169.254.169.254", "127.0.0.1", "::1",
		"0.0.0.0", "255.255.255.255", "224.0.0.1", "192.0.2.9", "192.0.2.0", "192.0.2.255", "fe80::1", "ff02::1")
)

func addrs(texts ...string) []netip.Addr {
	var all []netip.Addr
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// networkHarness is a harness in a network namespace that has the owned addresses,
// a default route and a name server. It counts all packets.
type networkHarness struct {
	*harness

	foreign *testnet.Counter
}

// counterRules count outgoing packets: to owned addresses, to the name server, to
// excluded ports, and all others. Multicast packets of the kernel are not counted.
const counterRules = `table inet ownership {
	counter inside { }
	counter asked { }
	counter excluded { }
	counter stray { }
	set owned4 { type ipv4_addr ; elements = { 192.0.2.1, 192.0.2.2 } }
	set owned6 { type ipv6_addr ; flags interval ; elements = { 2001:db8:1::1, 2001:db8:1::1:0/112 } }
	chain out { type filter hook output priority -400 ;
		ip6 daddr ff00::/8 meta l4proto ipv6-icmp return
		ip saddr NS ip daddr NS udp dport 53 counter name asked return
		ip saddr NS ip daddr NS tcp dport 53 counter name asked return
		ip saddr NS ip daddr NS return
		meta l4proto { tcp, udp } th dport { 22, 25-26, 443 } counter name excluded
		ip daddr @owned4 counter name inside return
		ip6 daddr @owned6 counter name inside return
		counter name stray
	}
}
`

// packetCounts has the values of counterRules.
type packetCounts struct{ inside, asked, excluded, stray int }

// newNetworkHarness returns a network harness for the text of a configuration.
func newNetworkHarness(t *testing.T, text string) *networkHarness {
	t.Helper()
	e := &networkHarness{}
	testnet.AddAddress(t, append(slices.Clone(owned), netip.MustParseAddr(nameServer))...)
	awaitLocalRoutes(t, owned...)
	testnet.DefaultRoute(t)
	e.foreign = testnet.CountTo(t, foreign...)
	testnet.Filter(t, strings.ReplaceAll(counterRules, "NS", nameServer))
	e.harness = newHarness(t, text, nil, func(o *server.Options) { o.Scans = newCoordinator(t, o) })
	return e
}

// newCoordinator returns a coordinator with all engines and a resolver that uses
// the name server.
func newCoordinator(t *testing.T, o *server.Options) *coordinator.Coordinator {
	t.Helper()
	return newLoggedCoordinator(t, o, slog.New(slog.DiscardHandler))
}

// newLoggedCoordinator returns the same with a logger.
func newLoggedCoordinator(t *testing.T, o *server.Options, logger *slog.Logger) *coordinator.Coordinator {
	t.Helper()
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	engines := make(map[coordinator.Kind]scan.Scanner)
	for kind, maker := range map[coordinator.Kind]func(*engine.Budget) (*engine.Engine, error){
		{Protocol: scan.TCP, Method: scan.Connect}: engine.NewConnect,
		{Protocol: scan.TCP, Method: scan.SYN}:     engine.NewSYN,
		{Protocol: scan.UDP, Method: scan.Connect}: engine.NewUDP,
	} {
		e, err := maker(budget)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Close)
		engines[kind] = e
	}
	resolver, err := resolve.New(newLabOptions())
	if err != nil {
		t.Fatal(err)
	}
	results, err := store.New(logger)
	if err != nil {
		t.Fatal(err)
	}
	scans, err := coordinator.New(coordinator.Options{
		Resolver: resolver, Engines: engines, Store: results, MaxScans: 8, Logger: logger, Observe: observeScan(o.Exporter),
	})
	if err != nil {
		t.Fatal(err)
	}
	o.Results, o.Names = results, resolver
	t.Cleanup(scans.Close)
	return scans
}

// awaitLocalRoutes waits until the kernel has local routes for the IPv6 addresses.
// Before, packets to them would leave by the default route.
func awaitLocalRoutes(t *testing.T, all ...netip.Addr) {
	t.Helper()
	const timeout = 10 * time.Second
	for started := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		table := strings.Fields(output(t, "ip", "-6", "route", "show", "table", "local", "type", "local"))
		missing := func(a netip.Addr) bool { return a.Is6() && !slices.Contains(table, a.String()) }
		if !slices.ContainsFunc(all, missing) {
			return
		}
		if time.Since(started) > timeout {
			t.Fatalf("local routes are missing after %v: %v", timeout, table)
		}
	}
}

// output runs a program and returns what it prints.
func output(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// takeCounts returns the packets sent since its last call.
func (n *networkHarness) takeCounts(t *testing.T) packetCounts {
	t.Helper()
	var listing struct {
		Nftables []struct {
			Counter struct {
				Name    string
				Packets int
			}
		}
	}
	if err := json.Unmarshal([]byte(output(t, "nft", "--json", "reset", "counters", "table", "inet", "ownership")), &listing); err != nil {
		t.Fatal(err)
	}
	by := make(map[string]int)
	for _, entry := range listing.Nftables {
		by[entry.Counter.Name] = entry.Counter.Packets
	}
	return packetCounts{inside: by["inside"], asked: by["asked"], excluded: by["excluded"], stray: by["stray"]}
}

// probeOutcome has the addresses and failures of a probe's response.
type probeOutcome struct {
	addresses, refused int
	failed             string // the reasons, in order
	success            bool
}

// parseOutcome returns the outcome in a response.
func parseOutcome(t *testing.T, body string) probeOutcome {
	t.Helper()
	var v probeOutcome
	var failed []string
	for line := range strings.Lines(body) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "#") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q is not a series", line)
		}
		switch reason, ok := strings.CutPrefix(name, `portscan_scan_failed{reason="`); {
		case ok && n == 1:
			failed = append(failed, strings.TrimSuffix(reason, `"}`))
		case name == "portscan_addresses":
			v.addresses = int(n)
		case name == "portscan_addresses_refused":
			v.refused = int(n)
		case name == "probe_success":
			v.success = n == 1
		}
	}
	slices.Sort(failed)
	v.failed = strings.Join(failed, " ")
	return v
}

// probe compares the outcome of a probe, and checks that packets were sent only to
// the scanned addresses. It returns the number of packets to the name server.
func (n *networkHarness) probe(t *testing.T, query string, want probeOutcome) (asked int) {
	t.Helper()
	n.takeCounts(t)
	w := n.get(t, "/probe?"+query)
	if w.Code != http.StatusOK {
		t.Fatalf("%s: got status %d, want 200: %s", query, w.Code, w.Body)
	}
	if got := parseOutcome(t, w.Body.String()); got != want {
		t.Errorf("%s: got %+v, want %+v", query, got, want)
	}
	sent := n.takeCounts(t)
	if sent.stray != 0 || sent.excluded != 0 || (sent.inside > 0) != (want.addresses > 0) {
		t.Errorf("%s: got packets %+v, want them only to %d addresses", query, sent, want.addresses)
	}
	return sent.asked
}

// wantForbidden checks that a probe is refused without sending any packet, DNS
// queries included.
func (n *networkHarness) wantForbidden(t *testing.T, query string) {
	t.Helper()
	n.takeCounts(t)
	if w := n.get(t, "/probe?"+query); w.Code != http.StatusForbidden {
		t.Errorf("%s: got status %d, want 403: %s", query, w.Code, w.Body)
	}
	if sent := n.takeCounts(t); sent != (packetCounts{}) {
		t.Errorf("%s: got packets %+v, want none", query, sent)
	}
}

// wantNoForeignPackets checks that no packet was sent to a foreign address.
func (n *networkHarness) wantNoForeignPackets(t *testing.T) {
	t.Helper()
	for _, a := range foreign {
		if n := n.foreign.Packets(t, a); n != 0 {
			t.Errorf("got %d packets to %v, want 0", n, a)
		}
	}
	if n := n.foreign.Left(t); n != 0 {
		t.Errorf("got %d packets that left the machine, want 0", n)
	}
}

// wantCountedPackets verifies the counters with a target whose networks contain a
// foreign address.
func (n *networkHarness) wantCountedPackets(t *testing.T, query string) {
	t.Helper()
	n.takeCounts(t)
	n.get(t, "/probe?"+query)
	if sent := n.takeCounts(t); sent.stray == 0 || n.foreign.Left(t) == 0 {
		t.Errorf("%s: got packets %+v, want stray ones", query, sent)
	}
}

// moduleConfig has a module for each scan method.
const moduleConfig = `
modules:
  tcp: {ports: "1-3", port_timeout: 100ms, retries: 0}
  syn: {ports: "1-3", port_timeout: 100ms, retries: 0, method: syn}
  udp: {ports: "1-3", port_timeout: 100ms, retries: 0, protocol: udp}
targets:
`

// methods returns the names of the modules.
func methods() []string { return []string{"tcp", "syn", "udp"} }
