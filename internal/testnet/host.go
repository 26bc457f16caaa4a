// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"net/netip"
	"testing"
)

// Host is the configuration of a test host for [Start].
type Host struct {
	// Addrs are its addresses, at least one, reserved for documentation. All addresses
	// have the same ports.
	Addrs []netip.Addr

	// Default is the answer of the ports that are not in Ports.
	Default Answer

	// Ports has answers by lists of ports, for example "22,80,8000-8100". The lists must
	// not overlap. [BacklogFull] takes a few milliseconds per port.
	Ports map[string]Answer

	// UDP and DefaultUDP are the answers of UDP ports. At most 1000 ports can have a
	// listener.
	UDP        map[string]UDPAnswer
	DefaultUDP UDPAnswer

	// LossIn and LossOut are the ratios of TCP, UDP and ICMP packets to and from the host
	// that are lost, from 0 to 1. Packets of neighbor discovery are never lost.
	LossIn, LossOut float64

	// RSTsPerSecond is the maximum rate of RSTs, in bursts of at most five. 0: unlimited.
	RSTsPerSecond int

	// ICMPsPerSecond is the maximum rate of ICMP errors, all addresses together, in bursts
	// of at most five. 0: the kernel's limits, after a burst of six about one per second
	// and peer with IPv4, ten with IPv6, and 1000 per second in total. Negative:
	// unlimited, without the kernel's limits.
	ICMPsPerSecond int

	// Plain hosts have no packet filter, because it takes time for each packet. They are
	// for benchmarks. They only refuse and accept, with UDP refuse, reply or stay mute,
	// and count no packets.
	Plain bool
}

// check fails the test if the configuration is invalid.
func (h Host) check(tb testing.TB) {
	tb.Helper()
	if len(h.Addrs) == 0 {
		tb.Fatal("host has no address")
	}
	for _, addr := range h.Addrs {
		needDocumentation(tb, addr)
		if addr == scannerFor(addr) {
			tb.Fatalf("%v is the scanner's own address", addr)
		}
	}
	if !(h.LossIn >= 0 && h.LossIn <= 1 && h.LossOut >= 0 && h.LossOut <= 1) {
		tb.Fatalf("host %v: loss ratios are %v in and %v out, must be from 0 to 1", h.Addrs[0], h.LossIn, h.LossOut)
	}
}
