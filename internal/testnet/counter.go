package testnet

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// table is the nftables table in which the counters of a namespace live.
const table = "testnet"

// left names the counter of [Counter.Left].
const left = "left"

// Counter counts the packets that this machine sends, by destination. Make one
// with [CountTo].
type Counter struct {
	names map[netip.Addr]string
}

// CountTo begins to count the packets that go out to these addresses, whichever
// they are: a packet is counted when the kernel sends it, over loopback too,
// whether or not anything arrives. What the kernel refuses to send for want of a
// route is no packet; see [DefaultRoute]. Only inside [Isolated], and once.
//
// An address that is this machine's own counts both ways: the answers from it
// to itself go to the same address.
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
	// The kernel's own talk to groups (MLD, router solicitations) says nothing about the test.
	fmt.Fprintf(&script, "add counter inet %s %s\n", table, left)
	fmt.Fprintf(&script, `add rule inet %s out oifname != "lo" fib daddr type != multicast counter name %s`+"\n", table, left)
	run(tb, script.String(), "nft", "-f", "-")
	return counter
}

// Packets returns how many packets have gone out to the address, which is one
// of those that [CountTo] was given.
func (c *Counter) Packets(tb testing.TB, addr netip.Addr) int {
	tb.Helper()
	name, ok := c.names[addr.Unmap()]
	if !ok {
		tb.Fatalf("packets to %v are not counted: name it in testnet.CountTo", addr)
	}
	return read(tb, name)
}

// Left returns how many packets have left the machine, whoever they were for:
// all that went out over anything but loopback, but for those to multicast
// groups.
func (c *Counter) Left(tb testing.TB) int {
	tb.Helper()
	return read(tb, left)
}

// read asks the kernel for one counter.
func read(tb testing.TB, name string) int {
	tb.Helper()
	out := run(tb, "", "nft", "--json", "list", "counter", "inet", table, name)
	n, ok := packets(tb, out)[name]
	if !ok {
		tb.Fatalf("nft shows no counter %s:\n%s", name, out)
	}
	return n
}

// Filter gives the namespace packet filters: rules are what nft(8) reads, with
// tables of their own. Only inside [Isolated].
func Filter(tb testing.TB, rules string) {
	tb.Helper()
	needIsolated(tb)
	run(tb, rules, "nft", "-f", "-")
}
