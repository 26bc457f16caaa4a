// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"testing"

	"portscan_exporter/internal/engine/packet"
	"portscan_exporter/internal/testnet"
)

// TestNATSocketOverflow sends more translated SYNs than the buffer of the socket can store: read
// must report the overflow, and receive all later SYNs.
func TestNATSocketOverflow(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.AddAddress(t, own4)
	testnet.Filter(t, "table ip nat {\nchain output { type nat hook output priority -100 ; ip daddr 127.0.0.1 tcp dport != 1000 dnat to 192.0.2.1\n}\n}\n")
	out, err := newSender(family4, netip.Addr{})
	if err != nil {
		t.Fatal(err)
	}
	defer out.close()
	socket, err := newNATSocket()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.close()
	lo, sequence := netip.MustParseAddr("127.0.0.1"), uint32(0)
	send := func(to uint16, count int) {
		for range count {
			sequence++
			from := uint16(20_000 + sequence%20_000)
			if out.add(attemptID{}, netip.AddrPortFrom(lo, from), netip.AddrPortFrom(lo, to), sequence) {
				out.flush(func(_ attemptID, err error) { t.Error(err) })
			}
		}
		out.flush(func(_ attemptID, err error) { t.Error(err) })
	}
	expect := func(least, most int, overflow bool) {
		t.Helper()
		n := 0
		got := socket.read(func(syn packet.SYN) {
			if n++; syn.Remote.Addr() != own4 {
				t.Errorf("received %+v, want %v as destination", syn, own4)
			}
		})
		if n < least || n > most || got != overflow {
			t.Errorf("received %d SYNs with overflow %v, want %d to %d with %v", n, got, least, most, overflow)
		}
	}
	send(1000, 100) // not translated
	expect(0, 0, false)
	send(2000, 100)
	expect(100, 100, false)
	send(2000, 5000)
	expect(100, 4999, true)
	send(2000, 100)
	expect(100, 100, false)
}
