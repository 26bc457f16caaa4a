// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"portscan_exporter/internal/scan"
)

// modelScope is the scope of a target in a naive model of [scan.Exclusions].
type modelScope struct{ allow, exclude []netip.Prefix }

// embeds reports whether the scope has NAT64 addresses.
func (m modelScope) embeds() bool {
	return slices.ContainsFunc(m.allow, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// others returns the exclusions of other targets that are in parts of the scope.
func (m modelScope) others(all []modelScope, self int) (others [][2]netip.Prefix) {
	for i, owner := range all {
		for _, part := range owner.allow {
			inside := m.embeds() && part.Addr().Is4() || slices.ContainsFunc(m.allow, func(p netip.Prefix) bool { return p.Bits() < part.Bits() && p.Contains(part.Addr()) })
			if i == self || !inside {
				continue
			}
			for _, excluded := range owner.exclude {
				if excluded.Overlaps(part) {
					others = append(others, [2]netip.Prefix{part, excluded})
				}
			}
		}
	}
	return others
}

// decide reports whether the address is allowed and excluded.
func (m modelScope) decide(others [][2]netip.Prefix, addr netip.Addr) (allowed, excluded bool) {
	bits := -1
	for _, p := range m.allow {
		end := p.Addr().Is4() && p.Bits() < 31 && (addr == p.Addr() || !p.Contains(addr.Next()))
		if p.Contains(addr) && !end {
			bits = max(bits, p.Bits())
		}
	}
	allowed = bits >= 0
	if addr.Is6() { // NAT64
		b := addr.As16()
		addr, bits = netip.AddrFrom4([4]byte(b[12:])), bits-96
	}
	contains := func(p netip.Prefix) bool { return p.Contains(addr) }
	excluded = slices.ContainsFunc(m.exclude, contains) || slices.ContainsFunc(others, func(o [2]netip.Prefix) bool {
		return o[0].Bits() > bits && contains(o[0]) && contains(o[1])
	})
	return allowed, excluded
}

// TestExclusionsModel compares random scopes with those of the model: which addresses they have,
// and their text in digests.
func TestExclusionsModel(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	decided := make(map[string]int)
	for range 500 {
		models, scopes := randomScopes(t, random)
		for self, m := range models {
			others := m.others(models, self)
			var text strings.Builder
			fmt.Fprintf(&text, "%v %v", m.allow, m.exclude)
			for _, o := range others {
				fmt.Fprintf(&text, " %v %v", o[0], o[1])
			}
			if got := scopes[self].DigestText(strconv.Itoa(self)); got != text.String() {
				t.Fatalf("DigestText(%d) = %s, want %s, with %v", self, got, text.String(), models)
			}
			for _, addr := range modelAddrs() {
				allowed, excluded := m.decide(others, addr)
				_, ok := scopes[self].Match(addr)
				inScope := allowed || !m.embeds() && slices.ContainsFunc(m.allow, func(p netip.Prefix) bool { return p.Contains(addr) })
				if got := scopes[self].Excluded(addr); inScope && got != excluded || ok != (allowed && !excluded) {
					t.Fatalf("%d: Match(%v) = %v, Excluded = %v, want %v, %v, with %v", self, addr, ok, got, allowed && !excluded, excluded, models)
				}
				decided[fmt.Sprint(addr.Is4(), len(others) > 0, allowed, excluded)]++
			}
		}
	}
	for _, kind := range []string{"true true true true", "true true true false", "false true true true", "false true true false"} {
		if decided[kind] < 300 {
			t.Errorf("decisions = %v, want 300 of each kind", decided)
		}
	}
}

// modelAddrs returns the addresses 192.0.2.0/27 and their NAT64 forms.
func modelAddrs() (all []netip.Addr) {
	for last := range byte(32) {
		four := netip.AddrFrom4([4]byte{192, 0, 2, last})
		all = append(all, four, netip.MustParseAddr("64:ff9b::"+four.String()))
	}
	return all
}

func randomScopes(tb testing.TB, r *rand.Rand) (models []modelScope, scopes []scan.Scope) {
	tb.Helper()
	some := func(count int) (all []netip.Prefix) {
		for range count {
			addr := modelAddrs()[2*r.IntN(32)]
			p, _ := addr.Prefix(26 + r.IntN(7))
			all = append(all, p)
		}
		return all
	}
	for range 1 + r.IntN(4) {
		m := modelScope{allow: some(1 + r.IntN(3)), exclude: some(r.IntN(4))}
		if r.IntN(3) == 0 {
			p, _ := netip.MustParseAddr("64:ff9b::192.0.2.0").Prefix(96 + r.IntN(32))
			m.allow = append(m.allow, p)
		}
		distinct := make(map[netip.Prefix]bool)
		m.exclude = slices.DeleteFunc(m.exclude, func(p netip.Prefix) bool {
			defer func() { distinct[p] = true }()
			return distinct[p]
		})
		s, err := scan.NewScope(m.allow, m.exclude)
		if err != nil {
			tb.Fatal(err)
		}
		models, scopes = append(models, m), append(scopes, s)
	}
	exclusions := scan.NewExclusions(func(yield func(string, scan.Scope) bool) {
		for i, s := range scopes {
			if !yield(strconv.Itoa(i), s) {
				return
			}
		}
	})
	for i := range scopes {
		scopes[i] = scopes[i].WithExclusions(exclusions)
	}
	return models, scopes
}

// TestScopeDigestManyExclusions requires that the digest of a scope depends on each of many
// exclusions inside its networks, and on no other.
func TestScopeDigestManyExclusions(t *testing.T) {
	t.Parallel()
	text := func(last string) string {
		exclude := []string{last}
		for i := range 200 {
			exclude = append(exclude, fmt.Sprintf("192.0.2.%d/32", i))
		}
		other := map[string]scan.Scope{"other": scope(t, []string{"192.0.2.0/24", "198.51.100.0/24"}, exclude)}
		s := scope(t, []string{"192.0.2.0/23"}, nil).WithExclusions(scan.NewExclusions(maps.All(other)))
		return s.DigestText("this")
	}
	inside, outside := text("192.0.2.250/32"), text("198.51.100.1/32")
	if inside == text("192.0.2.251/32") {
		t.Error("digest does not depend on an exclusion inside the scope")
	}
	if outside != text("198.51.100.2/32") {
		t.Error("digest depends on an exclusion outside the scope")
	}
	if len(inside) > 200 || !strings.HasPrefix(inside, "[192.0.2.0/23] [] ") {
		t.Errorf("DigestText() = %s, want a hash of the exclusions", inside)
	}
}
