// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/testnet"
)

// TestAttributes parses all prefixes of a message with two attributes: only complete attributes
// must be returned.
func TestAttributes(t *testing.T) {
	t.Parallel()
	message := appendAttribute(nil, unix.NDA_LLADDR, []byte{2, 0, 0, 0, 0, 1})
	message = appendAttribute(message, unix.NDA_DST, []byte{192, 0, 2, 7})
	for cut := range len(message) + 1 {
		var kinds []uint16
		for kind, value := range attributes(message[:cut]) {
			kinds = append(kinds, kind)
			if kind == unix.NDA_DST && !slices.Equal(value, []byte{192, 0, 2, 7}) {
				t.Errorf("value of NDA_DST = %v, want [192 0 2 7]", value)
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
			t.Errorf("attributes() of %d bytes = %v, want %d", cut, kinds, want)
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
			t.Errorf("length of attributes = %d, want at most %d, as the message", total, len(data))
		}
	})
}

// addLinks adds interfaces without other hosts.
func addLinks(t *testing.T, links ...string) {
	t.Helper()
	for _, link := range links {
		ip(t, "link", "add", link, "type", "veth", "peer", "name", link+"2")
		ip(t, "link", "set", link, "up")
		ip(t, "link", "set", link+"2", "up")
	}
}

// TestNextHopResolved adds neighbor entries and routes: on the link, via a gateway, via another
// gateway for another source, and via a gateway of the other family. Exactly the next hops that
// have an entry, or need none, must be resolved.
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
		system := new(machine)
		hop, err := system.nextHop(source, netip.MustParseAddr(tc.to))
		got := err == nil && !hop.needsNeighbor
		if err == nil && hop.needsNeighbor {
			got = system.neighborEntry(hop).state == neighborResolved
		}
		if got != tc.want {
			t.Errorf("%s: next hop from %v to %s is resolved: %v, want %v (%+v, %v)", tc.name, source, tc.to, got, tc.want, hop, err)
		}
	}
}

// TestScanGatewayOfSource scans addresses with a rule that routes packets from the selected
// source through a gateway that does not resolve, and all other packets through a host. The
// kernel applies the rule to IPv4 connections only: their ports must be unknown (no_route), and
// no other port.
func TestScanGatewayOfSource(t *testing.T) {
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	host := testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target4, target6}})[0]
	testnet.AddAddress(t, own4, own6)
	behind := map[netip.Addr]string{netip.MustParseAddr("203.0.113.7"): "203.0.113.0/24", netip.MustParseAddr("2001:db8:7::7"): "2001:db8:7::/64"}
	for addr, network := range behind {
		family, source, gateway, dead := "-4", own4, target4, netip.MustParseAddr("192.0.2.254")
		if addr.Is6() {
			family, source, gateway, dead = "-6", own6, target6, netip.MustParseAddr("2001:db8::fe")
		}
		host.RouteTo(t, dead)
		ip(t, family, "route", "add", network, "via", gateway.String(), "src", source.String())
		ip(t, family, "route", "add", network, "via", dead.String(), "table", "100")
		ip(t, family, "rule", "add", "from", source.String(), "lookup", "100")
	}
	for name, scanned := range linuxScans(t) {
		scanned(t.Context(), "1", target4, target6) // so that they are resolved
		for addr := range behind {
			got := scanned(t.Context(), "1-10", addr)
			want := 0
			if addr.Is4() && name == "connect" {
				want = 10
			}
			if got["unknown no_route"] != want {
				t.Errorf("%s: states of %v = %v, want %d unknown (no_route)", name, addr, got, want)
			}
		}
	}
}

// TestScanGatewayOnOtherLink scans an address behind a gateway whose link-local address only a
// neighbor on another link has: all ports must be unknown (no_route).
func TestScanGatewayOnOtherLink(t *testing.T) { //nolint:tparallel // its parts have the same addresses
	t.Parallel() // it waits more than it works
	if !testnet.Isolated(t) {
		return
	}
	addLinks(t, "wa", "wb")
	ip(t, "address", "add", "2001:db8:5::1/64", "dev", "wa", "nodad")
	time.Sleep(2500 * time.Millisecond) // link-local addresses become usable
	ip(t, "route", "add", "2001:db8:7::/64", "via", "fe80::1", "dev", "wa")
	ip(t, "neigh", "replace", "fe80::1", "lladdr", "02:00:00:00:00:09", "dev", "wb", "nud", "permanent")
	withLinuxEngines(t, func(t *testing.T, e *Engine) {
		t.Helper()
		got := census(scanAll(t.Context(), t, e, testRequest(t, defaultSpec("1-500"), netip.MustParseAddr("2001:db8:7::7"))))
		if got["unknown no_route"] != 500 {
			t.Errorf("states = %v, want 500 unknown (no_route)", got)
		}
	})
}

// TestFindNeighbor compares the entry from a dump with the one from a request for it, which
// Linux before 5.0 does not support, on one of two links that have the same addresses.
func TestFindNeighbor(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	addLinks(t, "near", "other")
	index := make(map[string]int)
	for _, link := range []string{"near", "other"} {
		found, err := net.InterfaceByName(link)
		if err != nil {
			t.Fatal(err)
		}
		index[link] = found.Index
	}
	for i, addr := range []string{"192.0.2.7", "2001:db8::7", "fe80::7"} {
		ip(t, "neigh", "add", addr, "lladdr", "02:00:00:00:00:01", "dev", "other", "nud", "permanent")
		hop := nextHop{link: index["near"], addr: netip.MustParseAddr(addr), needsNeighbor: true}
		if entry, err := findNeighbor(hop); !errors.Is(err, unix.ENOENT) {
			t.Errorf("findNeighbor(%v) = %v, %v, want ENOENT", addr, entry, err)
		}
		ip(t, "neigh", "add", addr, "lladdr", "02:00:00:00:00:02", "dev", "near", "nud", []string{"permanent", "stale", "failed"}[i])
		entry, err := findNeighbor(hop)
		if err != nil {
			t.Fatal(err)
		}
		request := make([]byte, unix.SizeofNdMsg)
		request[0] = addressFamily(hop.addr)
		binary.NativeEndian.PutUint32(request[ndmLink:], uint32(hop.link))
		want, err := askNetlink(unix.RTM_GETNEIGH, unix.RTM_NEWNEIGH, appendAttribute(request, unix.NDA_DST, hop.addr.AsSlice()))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := parseNeighbor(entry), parseNeighbor(want); got.link != want.link || got.state != want.state {
			t.Errorf("findNeighbor(%v) = %+v, want %+v", addr, got, want)
		}
	}
}

// TestRouteError requires that only errors that mean that there is no route make an address
// unroutable. A kernel that does not support requests for IPv4 routes can have some.
func TestRouteError(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		to   netip.Addr
		err  error
		want bool
	}{
		{target4, unix.ENETUNREACH, true},
		{target6, unix.ENETUNREACH, true},
		{target6, unix.EOPNOTSUPP, true}, // without IPv6
		{target4, unix.EOPNOTSUPP, false},
		{target4, unix.EHOSTUNREACH, false}, // a route of the type unreachable
		{target6, unix.EACCES, false},
	} {
		if got := isUnroutable(newRouteError(os.NewSyscallError("netlink", tc.err), tc.to)); got != tc.want {
			t.Errorf("error %v to %v is unroutable = %v, want %v", tc.err, tc.to, got, tc.want)
		}
	}
}
