// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/netip"
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

// fillNeighborTable fills the kernel's IPv6 neighbor table with entries of a link, which it
// adds, and returns a function that removes them. All namespaces of this machine share the
// table, so the test must be [testnet.IsolatedExclusively]. The IPv4 table cannot be used,
// because it also has the entry for loopback.
func fillNeighborTable(t *testing.T) (free func()) {
	t.Helper()
	const link = "filler"
	addLinks(t, link)
	entry := func(i int) string {
		return fmt.Sprintf("neigh add 2001:db8:f::%x:%x lladdr 02:00:00:00:00:09 dev %s nud reachable\n", i>>16, i&0xffff, link)
	}
	limit := neighborTableLimit(t)
	var batch strings.Builder
	for i := range limit {
		batch.WriteString(entry(i))
	}
	cmd := exec.CommandContext(t.Context(), "ip", "-batch", "-")
	cmd.Stdin = strings.NewReader(batch.String())
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "No buffer space") {
		t.Fatalf("adding %d entries to the neighbor table = %v, want no buffer space:\n%s", limit, err, out)
	}
	stop := keepFull(t, func(i int) string { return entry(limit + i) })
	var once sync.Once
	return func() {
		once.Do(func() {
			stop()
			ip(t, "link", "delete", link)
		})
	}
}

// keepFull adds entries, because the kernel removes some of the others, until stop is called.
func keepFull(t *testing.T, entry func(i int) string) (stop func()) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "ip", "-force", "-batch", "-") // -force: continue after errors
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stopped, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-stopped:
				_ = in.Close()
				_ = cmd.Wait() // it reports errors for most entries
				return
			case <-time.After(time.Millisecond):
				_, _ = in.Write([]byte(entry(i)))
			}
		}
	}()
	return func() { close(stopped); <-done }
}

// neighborTableLimit returns the limit of the IPv6 neighbor table, net.ipv6.neigh.default.gc_thresh3.
func neighborTableLimit(t *testing.T) int {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", "ntable", "show", "name", "ndisc_cache").CombinedOutput()
	if err != nil {
		t.Fatalf("ip ntable show: %v\n%s", err, out)
	}
	found := regexp.MustCompile(`thresh3 (\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("ip ntable show = no limit, want one:\n%s", out)
	}
	limit, err := strconv.Atoi(string(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return limit + 1
}

// TestNeighborTableFull scans a host and an address that no host has while the neighbor table is
// full: some ports must be unknown (neighbor_table), and no state may be wrong. In a second scan
// the table's entries are removed after 700 ms: all ports must have a state.
func TestNeighborTableFull(t *testing.T) {
	if !testnet.IsolatedExclusively(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{
		Addrs: []netip.Addr{target6}, ICMPsPerSecond: -1, Ports: map[string]testnet.Answer{"22": testnet.Accept, "80-99": testnet.Drop},
		UDP: map[string]testnet.UDPAnswer{"22": testnet.UDPReply},
	})[0]
	unused := netip.MustParseAddr("2001:db8::200")
	host.RouteTo(t, unused)
	ip(t, "neigh", "flush", "all")
	free := fillNeighborTable(t)
	defer free()
	inTime, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
	defer cancel()
	short := scanWithAll(inTime, t, target6, unused)
	time.AfterFunc(700*time.Millisecond, free)
	long := scanWithAll(t.Context(), t, target6, unused)
	for name, got := range short {
		counts := census(got)
		if counts["unknown neighbor_table"] == 0 {
			t.Errorf("%s, table full: states = %v, want some unknown (neighbor_table)", name, counts)
		}
		wantTruthOrUnknown(t, name+", table full", got, host)
	}
	for name, got := range long {
		states, _ := byAddress(got, unused)
		if states["filtered no_neighbor"] != 100 {
			t.Errorf("%s, table full for a while: states of %v = %v, want 100 filtered (no_neighbor)", name, unused, states)
		}
		wantTruthOrUnknown(t, name+", table full for a while", got, host)
		if counts := census(got); len(got) != 200 || counts["unknown neighbor_table"]+counts["unknown no_route"] > 0 {
			t.Errorf("%s, table full for a while: states = %v, want 200 ports, none unknown", name, counts)
		}
	}
}

// wantTruthOrUnknown fails the test for each port with a wrong state. Ports of the host may be
// unknown or have their true state, those of other addresses unknown or the cause no_neighbor.
func wantTruthOrUnknown(t *testing.T, name string, got map[netip.AddrPort]scan.PortResult, host *testnet.RunningHost) {
	t.Helper()
	for at, r := range got {
		switch {
		case r.State == scan.Unknown:
		case at.Addr() != target6 && r.Cause == scan.CauseNoNeighbor:
		case at.Addr() == target6 && !strings.HasPrefix(name, "udp") && r.State == host.State(at.Addr(), at.Port()):
		case at.Addr() == target6 && strings.HasPrefix(name, "udp") && r.State == host.UDPState(at.Addr(), at.Port()):
		default:
			t.Errorf("%s: state of %v = %v (%v), want the right one or unknown", name, at, r.State, r.Cause)
		}
	}
}

// scanWithAll scans with all linkEngines at the same time.
func scanWithAll(ctx context.Context, t *testing.T, addrs ...netip.Addr) map[string]map[netip.AddrPort]scan.PortResult {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	results := make(map[string]map[netip.AddrPort]scan.PortResult)
	for name, scanned := range linkEngines(t) {
		all.Go(func() {
			got := scanned(ctx, "1-100", addrs...)
			mu.Lock()
			defer mu.Unlock()
			results[name] = got
		})
	}
	all.Wait()
	return results
}

// TestNeighborTableFullTunnel scans a host behind a link without link-layer addresses, for
// which the kernel also needs entries, while the neighbor table is full: no port may have a
// state that it does not have.
func TestNeighborTableFullTunnel(t *testing.T) {
	if !testnet.IsolatedExclusively(t) {
		return
	}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:1::/64")},
		Reply:    func(netip.Addr, uint16, int) testnet.Reply { return testnet.Reply{Answer: testnet.Refuse} },
		Datagram: func(netip.Addr, uint16, int, []byte) testnet.DatagramReply {
			return testnet.DatagramReply{Data: []byte("x")}
		},
	})
	free := fillNeighborTable(t)
	defer free()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second)
	defer cancel()
	for name, got := range scanWithAll(ctx, t, netip.MustParseAddr("2001:db8:1::7")) {
		for at, r := range got {
			if r.State == scan.Filtered || r.State == scan.OpenFiltered {
				t.Errorf("%s: %v is %v (%v), want unknown, or the state of a port that answers", name, at, r.State, r.Cause)
			}
		}
	}
}
