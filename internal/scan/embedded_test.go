// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"net/netip"
	"testing"

	"portscan_exporter/internal/scan"
)

// TestScopeEmbeddedIPv4 requires that IPv6 addresses whose packets reach an excluded IPv4 address
// are excluded, and that no such address is in the scope of its IPv4 address.
func TestScopeEmbeddedIPv4(t *testing.T) {
	t.Parallel()
	exclude := []string{"192.0.2.33/32"}
	four, all := scope(t, []string{"192.0.2.0/24"}, exclude), scope(t, []string{"::/1", "fe80::/10"}, exclude)
	for addr, excluded := range map[string]bool{
		"64:ff9b::192.0.2.33":             true,
		"64:ff9b::192.0.2.34":             false,
		"64:ff9b:0:0:0:1:192.0.2.33":      false, // outside of the /96
		"64:ff9b:1:c000:2:2100::":         true,  // a /48, RFC 6052 section 2.4
		"64:ff9b:1:c000:2:2200::":         false,
		"64:ff9b:1:5c0:0:221::":           true, // a /56
		"64:ff9b:1:5:c0:2:2100:0":         true, // a /64
		"64:ff9b:1:5:0:7:192.0.2.33":      true, // a /96
		"64:ff9b:1:5:0:7:192.0.2.34":      false,
		"2002:c000:221::1":                true, // 6to4
		"2002:c000:221:5:6:7:8:9":         true,
		"2002:c000:222::1":                false,
		"::192.0.2.33":                    true, // IPv4-compatible
		"::192.0.2.34":                    false,
		"2001:0:cb00:7101:0:1:3fff:fdde":  true, // Teredo
		"2001:0:cb00:7101:0:1:3fff:fddd":  false,
		"2001:0:c000:221:0:1:3fff:fddd":   false, // the Teredo server
		"2001:db8::5efe:192.0.2.33":       true,  // ISATAP
		"2001:db8::200:5efe:192.0.2.33":   true,
		"fe80::5efe:192.0.2.33":           true,
		"2001:db8::5eff:192.0.2.33":       false,
		"2001:db8::192.0.2.33":            false, // not a format
		"::ffff:192.0.2.33":               true,
		"64:ff9b::5efe:0:0:192.0.2.33":    false,
		"2002:c000:222:0:0:5efe:c000:221": true, // ISATAP below 6to4
	} {
		ip := netip.MustParseAddr(addr)
		if got := all.Excluded(ip); got != excluded {
			t.Errorf("Excluded(%s) = %v, want %v", addr, got, excluded)
		}
		if _, ok := all.Match(ip); ok == excluded {
			t.Errorf("Match(%s) = %v, want %v", addr, ok, !excluded)
		}
		if _, ok := four.Match(ip); ok {
			t.Errorf("Match(%s) with an IPv4 scope = true, want false", addr)
		}
	}
	if !all.Excluded(netip.MustParseAddr("64:ff9b::192.0.2.33%eth0")) {
		t.Error("Excluded() of an address with a zone = false, want true")
	}
	loopback := scope(t, []string{"::1/128"}, []string{"0.0.0.0/8"})
	if _, ok := loopback.Match(netip.MustParseAddr("::1")); !ok {
		t.Error("Match(::1) = false, want true: loopback is not IPv4-compatible")
	}
}

// TestScopeOtherTargetEmbedded requires that an exclusion of another target covers the forms of
// its IPv4 addresses, as far as they are more specific.
func TestScopeOtherTargetEmbedded(t *testing.T) {
	t.Parallel()
	s := scope(t, []string{"64:ff9b::/96", "64:ff9b::c000:20a/128", "64:ff9b::192.0.2.0/125", "2002:c000:209::/48"}, nil)
	s = withExclusion(t, s, "192.0.2.0/24", "192.0.2.9/32")
	for addr, want := range map[string]bool{
		"64:ff9b::192.0.2.8": true, "64:ff9b::192.0.2.9": false, "64:ff9b::192.0.2.10": true,
		"64:ff9b::198.51.100.9": true,
		"2002:c000:209::1":      true, // a /48 is more specific than the /40 of the part
	} {
		if _, ok := s.Match(netip.MustParseAddr(addr)); ok != want {
			t.Errorf("Match(%s) = %v, want %v", addr, ok, want)
		}
	}
}

func TestEmbedsIPv4(t *testing.T) {
	t.Parallel()
	for network, want := range map[string]bool{
		"64:ff9b::/96": true, "64:ff9b::c000:200/120": true, "64:ff9b::/32": true, "64:ff9b:1::/64": true, "2002::/16": true, "2001::/16": true,
		"::/96": true, "2001:db8::/32": false, "192.0.2.0/24": false, "fe80::/10": false,
	} {
		if got := scan.EmbedsIPv4(netip.MustParsePrefix(network)); got != want {
			t.Errorf("EmbedsIPv4(%s) = %v, want %v", network, got, want)
		}
	}
}

func TestScopeOnly(t *testing.T) {
	t.Parallel()
	s := scope(t, []string{"192.0.2.0/24"}, []string{"192.0.2.9/32"})
	only := s.Only(netip.MustParseAddr("::ffff:192.0.2.1"))
	for addr, want := range map[string]bool{"192.0.2.1": true, "192.0.2.2": false, "192.0.2.9": false, "198.51.100.1": false} {
		if _, ok := only.Match(netip.MustParseAddr(addr)); ok != want {
			t.Errorf("Match(%s) = %v, want %v", addr, ok, want)
		}
	}
	for _, addr := range []string{"192.0.2.9", "192.0.2.255", "198.51.100.1"} {
		if _, _, err := scan.NewRequest(plan(t, spec(22)), s.Only(netip.MustParseAddr(addr)), found(addr)); err == nil {
			t.Errorf("NewRequest() with the scope of only %s = nil error, want an error", addr)
		}
	}
}
