// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// table is the nftables table for the counters of a namespace.
const table = "testnet"

// sentCounter is the counter of [Counter.Left].
const sentCounter = "left"

// Counter counts the packets that this machine sends, by destination. Create counters with
// [CountTo].
type Counter struct {
	names map[netip.Addr]string
}

// CountTo starts to count the packets to the addresses. A packet is counted when the kernel
// sends it, including over loopback and regardless of its delivery. If there is no route, the
// kernel sends no packet, see [DefaultRoute]. CountTo requires [Isolated] and can be called
// once.
//
// For a local address, both directions are counted, because answers have the same
// destination.
func CountTo(tb testing.TB, addrs ...netip.Addr) *Counter {
	tb.Helper()
	needIsolated(tb)
	counter := &Counter{names: make(map[netip.Addr]string, len(addrs))}
	var script strings.Builder
	fmt.Fprintf(&script, "add table inet %s\n", table)
	fmt.Fprintf(&script, "add chain inet %s out { type filter hook output priority -500 ; }\n", table)
	for i, addr := range addrs {
		addr = addr.Unmap()
		if _, twice := counter.names[addr]; twice {
			continue
		}
		name := fmt.Sprintf("to_%d", i)
		family := "ip6"
		if addr.Is4() {
			family = "ip"
		}
		counter.names[addr] = name
		fmt.Fprintf(&script, "add counter inet %s %s\n", table, name)
		fmt.Fprintf(&script, "add rule inet %s out %s daddr %s counter name %s\n", table, family, addr, name)
	}
	// Multicast packets (MLD, router solicitations) are sent by the kernel, not by the test.
	fmt.Fprintf(&script, "add counter inet %s %s\n", table, sentCounter)
	fmt.Fprintf(&script, `add rule inet %s out oifname != "lo" fib daddr type != multicast counter name %s`+"\n", table, sentCounter)
	run(tb, script.String(), "nft", "-f", "-")
	return counter
}

// Packets returns the number of packets to an address of [CountTo].
func (c *Counter) Packets(tb testing.TB, addr netip.Addr) int {
	tb.Helper()
	name, ok := c.names[addr.Unmap()]
	if !ok {
		tb.Fatalf("packets to %v are not counted: add the address to testnet.CountTo", addr)
	}
	return readCounter(tb, name)
}

// Left returns the number of packets that left the machine: to any destination, except over
// loopback and to multicast groups.
func (c *Counter) Left(tb testing.TB) int {
	tb.Helper()
	return readCounter(tb, sentCounter)
}

// readCounter returns the value of a counter.
func readCounter(tb testing.TB, name string) int {
	tb.Helper()
	out := run(tb, "", "nft", "--json", "list", "counter", "inet", table, name)
	n, ok := parseCounters(tb, out)[name]
	if !ok {
		tb.Fatalf("counter %s is not in the output of nft:\n%s", name, out)
	}
	return n
}

// Filter adds packet filters to the namespace. The rules are in the language of nft(8), with
// tables of their own. Filter requires [Isolated].
func Filter(tb testing.TB, rules string) {
	tb.Helper()
	needIsolated(tb)
	run(tb, rules, "nft", "-f", "-")
}
