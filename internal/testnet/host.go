package testnet

import (
	"net/netip"
	"testing"
)

// Host is a machine at the other end of a wire, as [Start] makes it.
type Host struct {
	// Addrs are its addresses, of both families as one likes, at least one, and
	// all of them for documentation. Every one of them has the same ports.
	Addrs []netip.Addr

	// Default is the answer of the ports that Ports does not name.
	Default Answer

	// Ports are the others. The keys are lists such as "22,80,8000-8100", which
	// have no port in common. [BacklogFull] costs some milliseconds a port.
	Ports map[string]Answer

	// UDP and DefaultUDP are the same for UDP. A thousand ports at most can have a
	// listener; those where a filter decides can be as many as one likes.
	UDP        map[string]UDPAnswer
	DefaultUDP UDPAnswer

	// LossIn and LossOut are the shares, from 0 to 1, of the packets that are
	// lost on the way to the host and back: TCP, UDP and ICMP, and not the talk by
	// which neighbors find each other.
	LossIn, LossOut float64

	// RSTsPerSecond is how many RSTs the host sends, in bursts of five at most;
	// 0 stands for no limit.
	RSTsPerSecond int

	// ICMPsPerSecond is how many ICMP errors the host sends, in bursts of five at
	// most, all its addresses together, whatever drew them. 0 leaves the kernel its
	// own limits, which after a burst of six come to about one a second to each peer
	// with IPv4 and ten with IPv6, and to a thousand a second in all. A negative
	// number stands for no limit, not even the kernel's own.
	ICMPsPerSecond int

	// Plain hosts have no packet filter at all, which takes time for every packet:
	// for benchmarks. They refuse and accept and nothing else, and count nothing;
	// with UDP they refuse, reply or are mute.
	Plain bool
}

// check fails the test unless the host can be made.
func (h Host) check(tb testing.TB) {
	tb.Helper()
	if len(h.Addrs) == 0 {
		tb.Fatal("a host has no address")
	}
	for _, addr := range h.Addrs {
		needDocumentation(tb, addr)
		if addr == oursFor(addr) {
			tb.Fatalf("%v is the scanner's own address", addr)
		}
	}
	if !(h.LossIn >= 0 && h.LossIn <= 1 && h.LossOut >= 0 && h.LossOut <= 1) {
		tb.Fatalf("host %v: the share of packets that are lost goes from 0 to 1: %v in, %v out", h.Addrs[0], h.LossIn, h.LossOut)
	}
}
