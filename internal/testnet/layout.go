// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"net/netip"
	"testing"

	"portscan_exporter/internal/scan"
)

// layout has all ports of a host by answer.
type layout struct {
	tcp portsByAnswer[Answer]
	udp portsByAnswer[UDPAnswer]
}

// state returns the state of a TCP port.
func (l *layout) state(port uint16) scan.State { return l.tcp.answer(port).State() }

// udpState returns the state of a UDP port.
func (l *layout) udpState(port uint16) scan.State { return l.udp.answer(port).State() }

// portsByAnswer has all ports by answer.
type portsByAnswer[A ~uint8] map[A]scan.PortSet

// answer returns the answer of a port. It is Refuse, the zero value, for port 0, which is in
// no set.
func (p portsByAnswer[A]) answer(port uint16) A {
	for answer, ports := range p {
		if ports.Contains(port) {
			return answer
		}
	}
	var refuse A
	return refuse
}

// assignAnswers checks the host's ports and returns their answers.
func (h Host) assignAnswers(tb testing.TB) layout {
	tb.Helper()
	l := layout{
		tcp: assignPorts(tb, h.Addrs, h.Ports, h.Default, BacklogFull),
		udp: assignPorts(tb, h.Addrs, h.UDP, h.DefaultUDP, UDPReplyOtherAddr),
	}
	listeners := 0
	for _, answer := range listeningAnswers() {
		listeners += l.udp[answer].Len()
	}
	if listeners > maxListeners {
		tb.Fatalf("host %v has %d UDP ports with a listener, at most %d are allowed", h.Addrs, listeners, maxListeners)
	}
	for _, answer := range []UDPAnswer{UDPDrop, UDPRejectHost, UDPRejectAdmin, UDPRejectPort} {
		if h.Plain && !l.udp[answer].IsEmpty() {
			tb.Fatalf("host %v has no packet filter for answer %v", h.Addrs, answer)
		}
	}
	return l
}

// assignPorts returns the ports by answer: the named ones, and all others. The last answer
// is the highest valid one.
func assignPorts[A ~uint8](tb testing.TB, host []netip.Addr, named map[string]A, others, last A) portsByAnswer[A] {
	tb.Helper()
	by := make(portsByAnswer[A])
	add := func(answer A, ports scan.PortSet) {
		if answer > last {
			tb.Fatalf("unknown answer %d", answer)
		}
		by[answer] = by[answer].Union(ports)
	}
	unassigned := allPorts(tb)
	for key, answer := range named {
		ports, err := scan.ParsePortSet(key)
		if err != nil {
			tb.Fatalf("host %v: parsing ports: %v", host, err)
		}
		remaining := unassigned.Minus(ports)
		if remaining.Len()+ports.Len() != unassigned.Len() {
			tb.Fatalf("host %v: ports %q overlap with others", host, key)
		}
		unassigned = remaining
		add(answer, ports)
	}
	add(others, unassigned)
	return by
}

// allPorts returns all ports.
func allPorts(tb testing.TB) scan.PortSet {
	tb.Helper()
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		tb.Fatal(err)
	}
	return all
}
