package lab

import (
	"net/netip"
	"testing"

	"portscan_exporter/scan"
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

	// LossIn and LossOut are the shares, from 0 to 1, of the packets that are
	// lost on the way to the host and back: TCP and ICMP, and not the talk by
	// which neighbors find each other.
	LossIn, LossOut float64

	// RSTsPerSecond is how many RSTs the host sends, in bursts of five at most;
	// 0 stands for no limit.
	RSTsPerSecond int

	// ICMPsPerSecond is how many ICMP errors the host sends, in bursts of five at
	// most, all its addresses together. 0 leaves the kernel its own limits, which
	// after a burst come to about one a second to each peer with IPv4 and ten with
	// IPv6. A negative number stands for no limit.
	ICMPsPerSecond int

	// Plain hosts have no packet filter at all, which takes time for every packet:
	// for benchmarks. They refuse and accept and nothing else, and count nothing.
	Plain bool
}

// layout is what becomes of every port of a host: it is read from Host.Ports
// once, and kept by answer.
type layout struct {
	ports [BacklogFull + 1]scan.PortSet
}

// allPorts returns every port there is.
func allPorts(tb testing.TB) scan.PortSet {
	tb.Helper()
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		tb.Fatal(err)
	}
	return all
}

// plan checks the host's ports and gives each its answer.
func (h Host) plan(tb testing.TB) layout {
	tb.Helper()
	var l layout
	rest := allPorts(tb)
	for key, answer := range h.Ports {
		ports, err := scan.ParsePortSet(key)
		if err != nil {
			tb.Fatalf("ports of the host %v: %v", h.Addrs, err)
		}
		less := rest.Minus(ports)
		if less.Len()+ports.Len() != rest.Len() {
			tb.Fatalf("ports of the host %v: some of %q are named twice", h.Addrs, key)
		}
		rest = less
		l.add(tb, answer, ports)
	}
	l.add(tb, h.Default, rest)
	return l
}

// add gives these ports the answer.
func (l *layout) add(tb testing.TB, answer Answer, ports scan.PortSet) {
	tb.Helper()
	if answer > BacklogFull {
		tb.Fatalf("there is no answer %d", answer)
	}
	l.ports[answer] = l.ports[answer].Union(ports)
}

// answer returns what the port does.
func (l *layout) answer(port uint16) Answer {
	for _, answer := range Answers() {
		if l.ports[answer].Contains(port) {
			return answer
		}
	}
	return Refuse // port 0, which nothing listens at
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
