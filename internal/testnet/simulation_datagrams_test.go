// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// simulateUDP simulates the prefixes of [both] for UDP.
func simulateUDP(t *testing.T, reply func(netip.Addr, uint16, int, []byte) testnet.DatagramReply) *testnet.Simulator {
	t.Helper()
	return testnet.StartSimulation(t, testnet.Simulation{
		Prefixes: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/48")},
		Datagram: reply,
	})
}

// exchange sends datagrams to the port from one socket, and returns the source and content of
// the replies, or the errors, until a timeout.
func exchange(t *testing.T, to netip.AddrPort, datagrams ...string) []string {
	t.Helper()
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	packets, err := (&net.ListenConfig{}).ListenPacket(t.Context(), network, ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer packets.Close()
	for _, data := range datagrams {
		if _, err := packets.WriteTo([]byte(data), net.UDPAddrFromAddrPort(to)); err != nil {
			t.Error(err)
		}
	}
	var came []string
	for reply := make([]byte, 1500); ; {
		packets.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, from, err := packets.ReadFrom(reply)
		if os.IsTimeout(err) {
			return came
		}
		came = append(came, fmt.Sprintf("%v %q", from, reply[:n]))
	}
}

func TestSimulationDatagrams(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	long := strings.Repeat("x", 1401) // odd
	others := map[bool]netip.Addr{true: addr("203.0.113.9"), false: addr("2001:db8:9::9")}
	far := simulateUDP(t, func(to netip.Addr, port uint16, attempt int, data []byte) testnet.DatagramReply {
		return map[uint16]testnet.DatagramReply{
			1: {Data: fmt.Appendf(nil, "%d %s", attempt, data)},
			2: {Data: []byte{}},
			3: {Data: []byte("elsewhere"), FromPort: 40000},
			4: {Data: []byte("another"), From: others[to.Is4()]},
			5: {Data: []byte("again"), Copies: 99},
			6: {Data: []byte(long)},
			7: {Silent: true, Data: []byte("not sent")},
		}[port]
	})
	for _, to := range both() {
		at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(to, port) }
		for port, want := range map[uint16][]string{
			1: {at(1).String() + ` "1 hello"`, at(1).String() + ` "2 "`},
			2: {at(2).String() + ` ""`, at(2).String() + ` ""`},
			3: slices.Repeat([]string{at(40000).String() + ` "elsewhere"`}, 2),
			4: slices.Repeat([]string{netip.AddrPortFrom(others[to.Is4()], 4).String() + ` "another"`}, 2),
			5: slices.Repeat([]string{at(5).String() + ` "again"`}, 200),
			6: slices.Repeat([]string{fmt.Sprintf("%v %q", at(6), long)}, 2),
			7: nil,
			9: nil,
		} {
			if got := exchange(t, at(port), "hello", ""); !slices.Equal(got, want) {
				t.Errorf("%v: got %d replies, want %d:\n%.200q\nwant\n%.200q", at(port), len(got), len(want), got, want)
			}
			if got := far.Datagrams(to, port); len(got) != 2 || string(got[0]) != "hello" || len(got[1]) != 0 {
				t.Errorf("Datagrams(%v) = %q", at(port), got)
			}
		}
	}
	n := far.Counts()
	// Eight ports per family, of which two are silent and one sends many replies.
	if n.UDPIn != 32 || n.UDPOut != 2*(5*2+200) || n.BrokenIn != 0 || n.ICMPsOut != 0 || n.SYNsIn != 0 {
		t.Errorf("Counts() = %+v", n)
	}
}
