// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/testnet"
)

func TestAttributes(t *testing.T) {
	t.Parallel()
	message := appendAttribute(nil, unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1})
	message = appendAttribute(message, unix.NDA_DST, []byte{192, 0, 2, 7})
	for cut := range len(message) + 1 {
		var kinds []uint16
		for kind, value := range attributes(message[:cut]) {
			kinds = append(kinds, kind)
			if kind == unix.NDA_DST && !slices.Equal(value, []byte{192, 0, 2, 7}) {
				t.Errorf("value of NDA_DST = %v", value)
			}
		}
		want := 0
		switch {
		case cut == len(message):
			want = 2
		case cut >= 10:
			want = 1
		}
		if len(kinds) != want {
			t.Errorf("attributes of %d bytes = %v, want %d", cut, kinds, want)
		}
	}
}

func FuzzAttributes(f *testing.F) {
	f.Add(appendAttribute(appendAttribute(nil, unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1}), unix.NDA_DST, []byte{192, 0, 2, 7}))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		for _, value := range attributes(data) {
			total += unix.SizeofRtAttr + len(value)
		}
		if total > len(data) {
			t.Errorf("attributes of %d bytes have %d", len(data), total)
		}
	})
}

// addLinks adds interfaces with a wire to nowhere.
func addLinks(t *testing.T, links ...string) {
	t.Helper()
	for _, link := range links {
		ip(t, "link", "add", link, "type", "veth", "peer", "name", link+"2")
		ip(t, "link", "set", link, "up")
		ip(t, "link", "set", link+"2", "up")
	}
}

// TestNextHopResolved has next hops with and without a neighbor entry: on the link, by a
// gateway, by another one for another source, and by one of the other family.
func TestNextHopResolved(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	addLinks(t, "wa", "wb")
	addLinks(t, "nowhere")
	ip(t, "link", "set", "nowhere", "arp", "off")
	ip(t, "address", "add", "192.0.2.1/25", "dev", "wa")
	ip(t, "address", "add", "192.0.2.129/25", "dev", "wb")
	ip(t, "address", "add", "2001:db8:5::1/64", "dev", "wa", "nodad")
	time.Sleep(2500 * time.Millisecond) // link-local addresses become usable
	alive := func(addr, link string) {
		ip(t, "neigh", "replace", addr, "lladdr", "02:00:00:00:00:09", "dev", link, "nud", "permanent")
	}
	alive("192.0.2.2", "wa")
	alive("192.0.2.130", "wb")
	alive("fe80::1", "wb") // no node on wa has this address
	alive("fe80::2", "wa")
	ip(t, "route", "add", "198.51.100.0/24", "via", "192.0.2.2")
	ip(t, "route", "add", "198.51.100.0/24", "via", "192.0.2.131", "table", "100")
	ip(t, "rule", "add", "from", "192.0.2.129", "lookup", "100")
	ip(t, "route", "add", "203.0.113.0/25", "via", "inet6", "fe80::1", "dev", "wa")
	ip(t, "route", "add", "203.0.113.128/25", "via", "inet6", "fe80::2", "dev", "wa")
	ip(t, "route", "add", "2001:db8:7::/64", "via", "fe80::1", "dev", "wa")
	ip(t, "route", "add", "2001:db8:8::/64", "via", "fe80::2", "dev", "wa")
	ip(t, "route", "add", "2001:db8:9::/64", "dev", "nowhere")
	ip(t, "route", "add", "unreachable", "2001:db8:a::/64")
	for _, tc := range []struct {
		name, source, to string
		want             bool
	}{
		{"on the link", "", "192.0.2.2", true},
		{"on the link, without an entry", "", "192.0.2.3", false},
		{"own address", "", "192.0.2.1", true},
		{"loopback", "", "127.0.0.2", true},
		{"gateway", "", "198.51.100.7", true},
		{"gateway of another source", "192.0.2.129", "198.51.100.7", false},
		{"source of another family", "2001:db8:5::1", "198.51.100.7", true},
		{"IPv6 gateway of an IPv4 route", "", "203.0.113.200", true},
		{"IPv6 gateway of an IPv4 route, on another link", "", "203.0.113.7", false},
		{"gateway on another link", "", "2001:db8:7::7", false},
		{"IPv6 gateway", "", "2001:db8:8::7", true},
		{"link without neighbors", "", "2001:db8:9::7", true},
		{"unreachable", "", "2001:db8:a::7", false},
	} {
		var source netip.Addr
		if tc.source != "" {
			source = netip.MustParseAddr(tc.source)
		}
		if got := new(machine).resolved(source, netip.MustParseAddr(tc.to)); got != tc.want {
			hop, err := nextHopOf(source, netip.MustParseAddr(tc.to))
			t.Errorf("%s: resolved(%v, %s) = %v, want %v (%+v, %v)", tc.name, source, tc.to, got, tc.want, hop, err)
		}
	}
}

// TestScanGatewayOnOtherLink scans behind a gateway whose link-local address only another
// link's neighbor has: nothing is known.
func TestScanGatewayOnOtherLink(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	addLinks(t, "wa", "wb")
	ip(t, "address", "add", "2001:db8:5::1/64", "dev", "wa", "nodad")
	time.Sleep(2500 * time.Millisecond) // link-local addresses become usable
	ip(t, "route", "add", "2001:db8:7::/64", "via", "fe80::1", "dev", "wa")
	ip(t, "neigh", "replace", "fe80::1", "lladdr", "02:00:00:00:00:09", "dev", "wb", "nud", "permanent")
	withFast(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-500"), netip.MustParseAddr("2001:db8:7::7"))))
		if got["unknown no_route"] != 500 {
			t.Errorf("states = %v, want 500 unknown (no_route)", got)
		}
	})
}
