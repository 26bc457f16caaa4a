// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// TestSimulationICMPErrors requires that the kernel accepts the errors for its datagrams.
func TestSimulationICMPErrors(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	router := addr("203.0.113.9")
	far := simulateUDP(t, func(_ netip.Addr, port uint16, attempt int, _ []byte) testnet.DatagramReply {
		switch {
		case port == 1005 && attempt == 1:
			return testnet.DatagramReply{} // silent
		case port == 1005:
			return testnet.DatagramReply{Error: new(testnet.RejectPort), Delay: 100 * time.Millisecond, Copies: 2}
		case port == 1006:
			return testnet.DatagramReply{Error: new(testnet.RejectHost), From: router}
		default:
			answer := []testnet.Answer{testnet.RejectPort, testnet.RejectHost, testnet.RejectAdmin, testnet.TimeExceeded}[port-1000]
			return testnet.DatagramReply{Error: &answer}
		}
	})
	look := make(map[netip.AddrPort]string)
	for i, to := range both() {
		for j, want := range [][2]string{
			{"refused", "refused"}, {"host unreachable", "host unreachable"}, {"host unreachable", "prohibited"}, {"host unreachable", "host unreachable"},
		} {
			look[netip.AddrPortFrom(to, uint16(1000+j))] = want[i]
		}
	}
	askAll(t, look)
	if n := far.Counts(); n.UDPIn != 16 || n.ICMPsOut != 16 || n.UDPOut != 0 || n.BrokenIn != 0 {
		t.Errorf("Counts() = %+v", n)
	}

	errors, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "ip4:icmp", "0.0.0.0")
	if err != nil {
		t.Fatal(err)
	}
	defer errors.Close()
	to := netip.AddrPortFrom(both()[0], 1005)
	if a, b := ask(t, to, "x"), ask(t, to, "x"); a != "silent" || b != "refused" {
		t.Errorf("got %s and %s, want silent and refused", a, b)
	}
	if got := ask(t, netip.AddrPortFrom(to.Addr(), 1006), strings.Repeat("x", 1400)); got != "host unreachable" {
		t.Errorf("long datagram: got %s", got)
	}
	var lengths []int
	for packet := make([]byte, 1500); ; {
		errors.SetReadDeadline(time.Now().Add(replyTimeout))
		n, from, err := errors.ReadFrom(packet)
		if err != nil {
			break
		}
		lengths = append(lengths, n)
		if want := map[bool]netip.Addr{true: router, false: to.Addr()}[packet[1] == 1]; from.String() != want.String() {
			t.Errorf("error %d: got source %v, want %v", packet[1], from, want)
		}
	}
	// A short datagram is quoted completely, a long one up to a packet of 576 bytes.
	slices.Sort(lengths)
	if want := []int{8 + 29, 8 + 29, 8 + 29, 556}; !slices.Equal(lengths, want) {
		t.Errorf("got lengths %v, want %v", lengths, want)
	}
}

// TestSimulationDatagramChecksum sends datagrams without a checksum and with a wrong one.
func TestSimulationDatagramChecksum(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	far := simulateUDP(t, nil)
	for i, to := range both() {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), []string{"ip4:udp", "ip6:udp"}[i], to.String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for _, d := range []struct{ length, sum uint16 }{{11, 0}, {12, 0}, {7, 0}, {11, 0x1234}} {
			packet := append(make([]byte, 8), "abc"...)
			binary.BigEndian.PutUint16(packet, 61001)
			binary.BigEndian.PutUint16(packet[2:], 53)
			binary.BigEndian.PutUint16(packet[4:], d.length)
			binary.BigEndian.PutUint16(packet[6:], d.sum)
			if _, err := conn.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
	}
	for range 100 {
		if n := far.Counts(); n.UDPIn+n.BrokenIn == 8 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	// With IPv4, the datagram without a checksum is valid.
	if n := far.Counts(); n.UDPIn != 1 || n.BrokenIn != 7 {
		t.Errorf("Counts() = %+v", n)
	}
	if four, six := far.Datagrams(both()[0], 53), far.Datagrams(both()[1], 53); len(four) != 1 || string(four[0]) != "abc" || len(six) != 0 {
		t.Errorf("got datagrams %q and %q", four, six)
	}
}

// TestBuildUDPChecksumZero has a reply whose computed checksum is 0, which means no checksum
// and is invalid with IPv6.
func TestBuildUDPChecksumZero(t *testing.T) {
	t.Parallel()
	if !testnet.Isolated(t) {
		return
	}
	to, ours := netip.AddrPortFrom(both()[1], 53), netip.MustParseAddrPort("[2001:db8:ffff::fe]:61001")
	sum := uint32(17 + 2*10) // the protocol, and the length twice
	for _, at := range []netip.AddrPort{to, ours} {
		sum += uint32(at.Port())
		for word := range slices.Chunk(at.Addr().AsSlice(), 2) {
			sum += uint32(binary.BigEndian.Uint16(word))
		}
	}
	sum = sum>>16 + sum&0xffff
	rest := binary.BigEndian.AppendUint16(nil, ^uint16(sum>>16+sum&0xffff))
	simulateUDP(t, func(netip.Addr, uint16, int, []byte) testnet.DatagramReply { return testnet.DatagramReply{Data: rest} })
	conn, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp6", ours.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.WriteTo(nil, net.UDPAddrFromAddrPort(to)); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, 10)
	conn.SetReadDeadline(time.Now().Add(replyTimeout))
	if n, _, err := conn.ReadFrom(reply); err != nil || string(reply[:n]) != string(rest) {
		t.Errorf("got % x, want % x: %v", reply[:n], rest, err)
	}
}
