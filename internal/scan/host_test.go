// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

func TestHostAddresses(t *testing.T) {
	t.Parallel()
	for network, want := range map[string]int{
		"192.0.2.0/28": 14, "192.0.2.8/31": 2, "192.0.2.7/32": 1, "192.0.2.4/30": 2,
		"2001:db8::/126": 4, "2001:db8::1/128": 1, "0.0.0.0/0": 1<<32 - 2, "2001:db8::/64": math.MaxInt,
	} {
		h := scan.Host{Entry: network, Network: netip.MustParsePrefix(network)}
		if got := h.Count(); got != want {
			t.Errorf("Count() of %s = %d, want %d", network, got, want)
		}
		if want < 100 {
			if got := len(slices.Collect(h.All())); got != want {
				t.Errorf("All() of %s has %d addresses, want %d", network, got, want)
			}
		}
	}
	h := scan.Host{Entry: "192.0.2.0/30", Network: netip.MustParsePrefix("192.0.2.0/30")}
	var got []string
	for a := range h.All() {
		got = append(got, a.String())
	}
	if diff := cmp.Diff([]string{"192.0.2.1", "192.0.2.2"}, got); diff != "" {
		t.Errorf("addresses of a /30 (-want +got):\n%s", diff)
	}
	name := scan.Host{Entry: "www.example.org"}
	if !name.IsName() || name.Count() != 0 || len(slices.Collect(name.All())) != 0 {
		t.Error("a host name has addresses, want none before it is resolved")
	}
}

func mustRange(t *testing.T, first, last string) scan.Host {
	t.Helper()
	h, err := scan.NewRange(first+"-"+last, netip.MustParseAddr(first), netip.MustParseAddr(last))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestRange(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		first, last, around string
		count               int
		bits                float64
		prefixes            string
	}{
		{"192.0.2.10", "192.0.2.50", "192.0.2.0/26", 41, 32 - math.Log2(41), "[192.0.2.10/31 192.0.2.12/30 192.0.2.16/28 192.0.2.32/28 192.0.2.48/31 192.0.2.50/32]"},
		{"192.0.2.0", "192.0.2.255", "192.0.2.0/24", 256, 24, "[192.0.2.0/24]"},
		{"192.0.2.255", "192.0.3.0", "192.0.2.0/23", 2, 31, "[192.0.2.255/32 192.0.3.0/32]"},
		{"192.0.2.7", "192.0.2.7", "192.0.2.7/32", 1, 32, "[192.0.2.7/32]"},
		{"0.0.0.0", "255.255.255.255", "0.0.0.0/0", 1 << 32, 0, "[0.0.0.0/0]"},
		{"2001:db8::10", "2001:db8::13", "2001:db8::10/126", 4, 126, "[2001:db8::10/126]"},
		{"::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/0", math.MaxInt, 0, "[::/0]"},
	} {
		h := mustRange(t, tc.first, tc.last)
		if h.Network.String() != tc.around || h.Count() != tc.count || math.Abs(h.Bits()-tc.bits) > 1e-9 || fmt.Sprint(h.Prefixes()) != tc.prefixes {
			t.Errorf("%s: around %v, %d addresses, %v bits, %v, want %s, %d, %v, %s", h, h.Network, h.Count(), h.Bits(), h.Prefixes(), tc.around, tc.count, tc.bits, tc.prefixes)
		}
		if first, last := h.Bounds(); first.String() != tc.first || last.String() != tc.last || !h.Contains(first) || !h.Contains(last) || h.Contains(first.Prev()) || h.Contains(last.Next()) {
			t.Errorf("%s contains other addresses than those from %v to %v", h, first, last)
		}
		if tc.count < 300 {
			if got := len(slices.Collect(h.All())); got != tc.count {
				t.Errorf("All() of %s has %d addresses, want %d", h, got, tc.count)
			}
		}
	}
	for _, ends := range [][2]netip.Addr{
		{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1")},
		{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		{netip.MustParseAddr("fe80::1%a"), netip.MustParseAddr("fe80::2%a")},
		{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("::ffff:192.0.2.2")},
		{},
	} {
		if h, err := scan.NewRange("x", ends[0], ends[1]); err == nil {
			t.Errorf("NewRange(%v, %v) = %v, want an error", ends[0], ends[1], h)
		}
	}
	if mustRange(t, "fe80::1", "fe80::9").Contains(netip.MustParseAddr("fe80::2%eth0")) {
		t.Error("a range contains an address with a zone, want none")
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for _, tc := range [][4]string{
		{"bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example", "bücher.example (xn--bcher-kva.example)"},
		{"xn--bcher-kva.example", "bücher.example", "xn--bcher-kva.example", "xn--bcher-kva.example (bücher.example)"},
		{"www.example", "", "www.example", "www.example"},
	} {
		if h := scan.NewName(tc[0], tc[1]); !h.IsName() || h.Entry != tc[0] || h.Name() != tc[2] || h.String() != tc[3] {
			t.Errorf("NewName(%s, %s) = %s with name %s, want %s with name %s", tc[0], tc[1], h, h.Name(), tc[3], tc[2])
		}
	}
}

// TestScopeRangesModel compares scopes of random networks and ranges with a naive model: the
// smallest entry that contains an address decides.
func TestScopeRangesModel(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{192, 0, 2, byte(n)}) }
	matched := 0
	for range 3000 {
		var allow []netip.Prefix
		var ranges, entries []scan.Host
		for range 1 + random.IntN(3) {
			p, _ := at(random.IntN(40)).Prefix(26 + random.IntN(7))
			allow, entries = append(allow, p), append(entries, scan.Host{Entry: p.String(), Network: p})
			first := random.IntN(38)
			h := mustRange(t, at(first).String(), at(first+1+random.IntN(39-first)).String())
			ranges, entries = append(ranges, h), append(entries, h)
		}
		s, err := scan.NewScope(allow, nil, ranges...)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 70 {
			want := -1.
			for _, h := range entries {
				if h.Contains(at(i)) {
					want = max(want, h.Bits())
				}
			}
			if bits, ok := s.Match(at(i)); ok != (want >= 0) || ok && bits != want {
				t.Fatalf("Match(%v) = %v, %v, want %v, with %v", at(i), bits, ok, want, entries)
			}
			if want >= 0 {
				matched++
			}
		}
	}
	if matched < 50000 {
		t.Errorf("%d addresses match, want 50000", matched)
	}
}

// TestScopeRangeExclusions checks which exclusions of another target a range respects, and that its
// digest depends on these: those in parts with fewer addresses.
func TestScopeRangeExclusions(t *testing.T) {
	t.Parallel()
	prefixes := func(texts ...string) (all []netip.Prefix) {
		for _, text := range texts {
			all = append(all, netip.MustParsePrefix(text))
		}
		return all
	}
	plain, err := scan.NewScope(nil, nil, mustRange(t, "192.0.2.10", "192.0.2.50")) // 41 addresses
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		allow    []netip.Prefix
		ranges   []scan.Host
		excluded bool
	}{
		{prefixes("192.0.2.0/27"), nil, true}, // overlaps only
		{prefixes("192.0.2.0/26"), nil, false},
		{prefixes("192.0.2.16/28"), nil, true},
		{nil, []scan.Host{mustRange(t, "192.0.2.11", "192.0.2.50")}, true},
		{nil, []scan.Host{mustRange(t, "192.0.2.0", "192.0.2.39")}, true},
		{nil, []scan.Host{mustRange(t, "192.0.2.10", "192.0.2.50")}, false},
		{nil, []scan.Host{mustRange(t, "192.0.2.9", "192.0.2.50")}, false},
	} {
		other, err := scan.NewScope(tc.allow, prefixes("192.0.2.20/32"), tc.ranges...)
		if err != nil {
			t.Fatal(err)
		}
		s := plain.WithExclusions(scan.NewExclusions(func(yield func(string, scan.Scope) bool) {
			_ = yield("self", plain) && yield("other", other)
		}))
		_, ok := s.Match(netip.MustParseAddr("192.0.2.20"))
		if ok == tc.excluded {
			t.Errorf("%v %v: Match(192.0.2.20) = %v, want %v", tc.allow, tc.ranges, ok, !tc.excluded)
		}
		if differs := s.DigestText("self") != plain.DigestText("self"); tc.excluded && !differs {
			t.Errorf("%v %v: the digest does not depend on the exclusion", tc.allow, tc.ranges)
		}
	}
}
