// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// responder is a kind of simulated address: its answers, and whether they are its own.
type responder struct {
	name     string
	tcp      func(port uint16, router netip.Addr) testnet.Reply
	udp      func(port uint16, router netip.Addr) testnet.DatagramReply
	responds bool
	udpOnly  bool
}

// icmpError returns the answers of an address for which an ICMP error is sent, by the address
// itself or by a router.
func icmpError(name string, answer testnet.Answer, byRouter bool) responder {
	from := func(router netip.Addr) netip.Addr {
		if byRouter {
			return router
		}
		return netip.Addr{}
	}
	return responder{
		name: name, responds: !byRouter,
		tcp: func(_ uint16, router netip.Addr) testnet.Reply {
			return testnet.Reply{Answer: answer, From: from(router)}
		},
		udp: func(_ uint16, router netip.Addr) testnet.DatagramReply {
			return testnet.DatagramReply{Error: &answer, From: from(router)}
		},
	}
}

// mixed returns the answers of an address that answers for port 7 itself, and for all others
// like another responder.
func mixed(others responder, name string, tcp testnet.Reply, udp testnet.DatagramReply) responder {
	return responder{
		name: name, responds: true,
		tcp: func(port uint16, router netip.Addr) testnet.Reply {
			if port == 7 {
				return tcp
			}
			return others.tcp(port, router)
		},
		udp: func(port uint16, router netip.Addr) testnet.DatagramReply {
			if port == 7 {
				return udp
			}
			return others.udp(port, router)
		},
	}
}

// responders returns each kind of address.
func responders() []responder {
	host := icmpError("", testnet.RejectHost, true)
	elsewhere := host
	elsewhere.name, elsewhere.udpOnly = "a datagram of another address", true
	elsewhere.udp = func(_ uint16, router netip.Addr) testnet.DatagramReply {
		return testnet.DatagramReply{Data: []byte("x"), From: router}
	}
	silent := responder{
		name: "silence",
		tcp:  func(uint16, netip.Addr) testnet.Reply { return testnet.Reply{Answer: testnet.Drop} },
		udp:  func(uint16, netip.Addr) testnet.DatagramReply { return testnet.DatagramReply{Silent: true} },
	}
	const delay = 700 * time.Millisecond
	late := mixed(silent, "one late answer", testnet.Reply{Answer: testnet.Refuse, Delay: delay}, testnet.DatagramReply{Data: []byte("x"), Delay: delay})
	reject := testnet.RejectAdmin
	return []responder{
		silent,
		icmpError("host unreachable by a router", testnet.RejectHost, true),
		icmpError("prohibited by a router", testnet.RejectAdmin, true),
		icmpError("port unreachable by a router", testnet.RejectPort, true),
		icmpError("time exceeded at a router", testnet.TimeExceeded, true),
		icmpError("host unreachable by the address", testnet.RejectHost, false),
		icmpError("prohibited by the address", testnet.RejectAdmin, false),
		icmpError("port unreachable by the address", testnet.RejectPort, false),
		mixed(host, "one open port", testnet.Reply{Answer: testnet.Accept}, testnet.DatagramReply{Data: []byte("x")}),
		mixed(host, "one closed port", testnet.Reply{Answer: testnet.Refuse}, testnet.DatagramReply{Error: new(testnet.RejectPort)}),
		mixed(host, "one rejected port", testnet.Reply{Answer: reject}, testnet.DatagramReply{Error: &reject}),
		late,
		elsewhere,
	}
}

// lastResponses scans and returns the recorded results by address.
func lastResponses(t *testing.T, e *Engine, spec scan.Spec, addrs ...netip.Addr) map[netip.Addr]scan.AddressResult {
	t.Helper()
	req := testRequest(t, spec, addrs...)
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := e.Scan(ctx, req, recorder.Record); err != nil {
		t.Fatal(err)
	}
	all := make(map[netip.Addr]scan.AddressResult)
	results, _, _ := recorder.Snapshot(scan.CauseDeadline)
	for _, a := range results {
		all[a.IP] = a
	}
	return all
}

// TestLastResponse requires that only answers of the address itself count as responses, in
// both families and with all engines that receive the sender of an ICMP error.
func TestLastResponse(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	router4, router6 := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("2001:db8:7::1")
	kinds := make(map[netip.Addr]responder)
	tcp, udp := []netip.Addr{}, []netip.Addr{}
	next4, next6 := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("2001:db8:7::10")
	for _, r := range responders() {
		kinds[next4], kinds[next6] = r, r
		udp = append(udp, next4, next6)
		if !r.udpOnly {
			tcp = append(tcp, next4, next6)
		}
		next4, next6 = next4.Next(), next6.Next()
	}
	routerOf := func(addr netip.Addr) netip.Addr {
		if addr.Is4() {
			return router4
		}
		return router6
	}
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("2001:db8:7::/64")},
		Reply: func(addr netip.Addr, port uint16, _ int) testnet.Reply {
			return kinds[addr].tcp(port, routerOf(addr))
		},
		Datagram: func(addr netip.Addr, port uint16, _ int, _ []byte) testnet.DatagramReply {
			return kinds[addr].udp(port, routerOf(addr))
		},
	})
	all := engines(t, Limits{})
	datagrams, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Engine{"connect": all["connect"], "syn": all["syn"], "udp": datagrams} {
		addrs, spec := tcp, defaultSpec("1-20")
		if name == "udp" {
			addrs, spec = udp, udpSpec("1-20")
		}
		start := time.Now()
		results := lastResponses(t, e, spec, addrs...)
		for _, addr := range slices.SortedFunc(maps.Keys(results), netip.Addr.Compare) {
			a, r := results[addr], kinds[addr]
			last := a.LastResponse()
			if last.IsZero() == r.responds || r.responds && (last.Before(start) || last.After(time.Now())) {
				t.Errorf("%s: LastResponse() of %v with %s = %v, want one after %v: %v", name, addr, r.name, last, start, r.responds)
			}
		}
	}
}

// TestLastResponsePortable requires that no ICMP error counts with the portable engines,
// which do not receive its sender.
func TestLastResponsePortable(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	open, rejecting := netip.MustParseAddr("203.0.113.10"), netip.MustParseAddr("203.0.113.11")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(addr netip.Addr, _ uint16, _ int) testnet.Reply {
			if addr == open {
				return testnet.Reply{Answer: testnet.Accept}
			}
			return testnet.Reply{Answer: testnet.RejectHost}
		},
		Datagram: func(addr netip.Addr, _ uint16, _ int, _ []byte) testnet.DatagramReply {
			if addr == open {
				return testnet.DatagramReply{Data: []byte("x")}
			}
			return testnet.DatagramReply{Error: new(testnet.RejectPort)}
		},
	})
	udp, err := NewDialUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Engine{"dial": testDial(t, Limits{}), "dial udp": udp} {
		spec := defaultSpec("1-5")
		if name == "dial udp" {
			spec = udpSpec("1-5")
		}
		results := lastResponses(t, e, spec, open, rejecting)
		for addr, want := range map[netip.Addr]bool{open: true, rejecting: false} {
			a := results[addr]
			if got := a.LastResponse(); got.IsZero() == want {
				t.Errorf("%s: LastResponse() of %v = %v, want one: %v", name, addr, got, want)
			}
		}
	}
}

// TestLastResponseOwnAddress scans loopback and an address of this machine whose packets an
// input filter rejects: each address must have a last response.
func TestLastResponseOwnAddress(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	local4, local6 := netip.MustParseAddr("192.0.2.77"), netip.MustParseAddr("2001:db8::77")
	ip(t, "addr", "add", local4.String()+"/32", "dev", "lo")
	ip(t, "addr", "add", local6.String()+"/128", "dev", "lo", "nodad")
	testnet.Filter(t, "table inet ours { chain in { type filter hook input priority 0 ; "+
		"ip daddr "+local4.String()+" meta l4proto { tcp, udp } reject with icmp type admin-prohibited\n"+
		"ip6 daddr "+local6.String()+" meta l4proto { tcp, udp } reject with icmpv6 type admin-prohibited\n}\n}\n")
	all := engines(t, Limits{})
	udp, err := NewUDP(testBudget(t, Limits{}))
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]*Engine{"connect": all["connect"], "syn": all["syn"], "udp": udp} {
		spec := defaultSpec("1-5")
		if name == "udp" {
			spec = udpSpec("1-5")
		}
		results := lastResponses(t, e, spec, netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback(), local4, local6)
		for addr, a := range results {
			if a.LastResponse().IsZero() {
				t.Errorf("%s: LastResponse() of %v = none, want one; ports: %v", name, addr, a.ByState())
			}
		}
	}
}

// TestLastResponseOfCanaries scans an address that answers for one port and drops packets to
// all others. Canaries are sent to the answering port, so the last response in the end must be
// later than that in the port's own result.
func TestLastResponseOfCanaries(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	target := netip.MustParseAddr("203.0.113.10")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(_ netip.Addr, port uint16, _ int) testnet.Reply {
			if port == 1 {
				return testnet.Reply{Answer: testnet.Refuse}
			}
			return testnet.Reply{Answer: testnet.Drop}
		},
	})
	for _, name := range linuxEngines() {
		e := engines(t, Limits{})[name]
		req := testRequest(t, defaultSpec("1-50"), target)
		recorder, err := scan.NewRecorder(req)
		if err != nil {
			t.Fatal(err)
		}
		var first, last time.Time
		err = e.Scan(t.Context(), req, func(r scan.PortResult) {
			recorder.Record(r)
			if r.State == scan.Closed {
				first = r.LastResponse
			}
			last = r.LastResponse
		})
		if err != nil || first.IsZero() || !last.After(first) {
			t.Errorf("%s: last response at the end = %v, error %v, want a time after %v, that of port 1", name, last, err, first)
		}
	}
}

// TestLastResponseLate scans a port whose only answer arrives after its attempt has timed out:
// the port must be open and the address have a last response.
func TestLastResponseLate(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	target := netip.MustParseAddr("203.0.113.10")
	testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")},
		Reply: func(_ netip.Addr, _ uint16, attempt int) testnet.Reply {
			if attempt == 1 {
				return testnet.Reply{Answer: testnet.Accept, Delay: 700 * time.Millisecond}
			}
			return testnet.Reply{Answer: testnet.Drop}
		},
	})
	a := lastResponses(t, testSYN(t, Limits{}), defaultSpec("7"), target)[target]
	if a.Count(scan.Open) != 1 || a.LastResponse().IsZero() {
		t.Errorf("LastResponse() = %v, want the time of the late answer; ports: %v", a.LastResponse(), a.ByState())
	}
}
