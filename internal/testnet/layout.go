package testnet

import (
	"net/netip"
	"testing"

	"portscan_exporter/internal/scan"
)

// layout is what becomes of every port of a host: it is read from Host.Ports and
// Host.UDP once, and kept by answer.
type layout struct {
	tcp portsBy[Answer]
	udp portsBy[UDPAnswer]
}

// state returns the state of a TCP port.
func (l *layout) state(port uint16) scan.State { return l.tcp.at(port).State() }

// udpState returns the state of a UDP port.
func (l *layout) udpState(port uint16) scan.State { return l.udp.at(port).State() }

// portsBy are ports by their answers. Every port has one.
type portsBy[A ~uint8] map[A]scan.PortSet

// at returns what the port does. Port 0, which nothing listens at, is in no set;
// the zero value of all answers is to refuse.
func (p portsBy[A]) at(port uint16) A {
	for answer, ports := range p {
		if ports.Contains(port) {
			return answer
		}
	}
	var refuse A
	return refuse
}

// plan checks the host's ports and gives each its answer.
func (h Host) plan(tb testing.TB) layout {
	tb.Helper()
	l := layout{
		tcp: assign(tb, h.Addrs, h.Ports, h.Default, BacklogFull),
		udp: assign(tb, h.Addrs, h.UDP, h.DefaultUDP, UDPReplyOtherAddr),
	}
	listeners := 0
	for _, answer := range heard() {
		listeners += l.udp[answer].Len()
	}
	if listeners > maxListeners {
		tb.Fatalf("the host %v has %d UDP ports with a listener, and can have %d", h.Addrs, listeners, maxListeners)
	}
	for _, answer := range []UDPAnswer{UDPDrop, UDPRejectHost, UDPRejectAdmin, UDPRejectPort} {
		if h.Plain && !l.udp[answer].IsEmpty() {
			tb.Fatalf("the host %v has no packet filter, and is to %v datagrams", h.Addrs, answer)
		}
	}
	return l
}

// assign gives each port its answer: those that are named, and all others. The
// last answer is the highest there is.
func assign[A ~uint8](tb testing.TB, host []netip.Addr, named map[string]A, others, last A) portsBy[A] {
	tb.Helper()
	by := make(portsBy[A])
	add := func(answer A, ports scan.PortSet) {
		if answer > last {
			tb.Fatalf("there is no answer %d", answer)
		}
		by[answer] = by[answer].Union(ports)
	}
	rest := allPorts(tb)
	for key, answer := range named {
		ports, err := scan.ParsePortSet(key)
		if err != nil {
			tb.Fatalf("ports of the host %v: %v", host, err)
		}
		less := rest.Minus(ports)
		if less.Len()+ports.Len() != rest.Len() {
			tb.Fatalf("ports of the host %v: some of %q are named twice", host, key)
		}
		rest = less
		add(answer, ports)
	}
	add(others, rest)
	return by
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
