// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// modelTarget is a target of a naive model of [Config.Authorize].
type modelTarget struct {
	numeric, networks, exclude []netip.Prefix
	names                      []string
	family                     string
}

// modelEntry is an entry of a target that contains an address.
type modelEntry struct {
	target, bits int
	excluded     bool // overrides the entries after it
	permitted    bool
	failed       bool // permitted if the lookup that failed has the address
}

// decide returns the index of the target that wins, or -1, and whether that depends on a lookup
// that failed.
func decide(all []modelTarget, names resolved, addr netip.Addr) (target int, unresolved bool) {
	var entries []modelEntry
	for i, t := range all {
		excluded := slices.ContainsFunc(t.exclude, func(p netip.Prefix) bool { return p.Contains(addr) })
		for j, p := range slices.Concat(t.numeric, t.networks) {
			end := p.Bits() < 31 && (addr == p.Addr() || !p.Contains(addr.Next()))
			if !p.Contains(addr) || end && !excluded {
				continue
			}
			e := modelEntry{target: i, bits: p.Bits(), excluded: excluded}
			if family := t.family == "any" || t.family == "ip4"; family && !excluded {
				e.permitted = j < len(t.numeric) || len(t.numeric)+len(t.names) == 0
				for _, name := range t.names {
					e.permitted = e.permitted || strings.Contains(names[name]+" ", addr.String()+" ")
					e.failed = e.failed || names[name] == "fails"
				}
			}
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b modelEntry) int { return b.bits - a.bits })
	for _, e := range entries {
		switch {
		case e.excluded:
			return -1, unresolved
		case e.permitted:
			return e.target, false
		}
		unresolved = unresolved || e.failed
	}
	return -1, unresolved
}

// TestAuthorizeModel compares decisions for random configurations with those of the model.
func TestAuthorizeModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	decided := make(map[string]int)
	for range 1500 {
		all, names := randomTargets(random), randomNames(random)
		l := newLoader(newReader(), "config.yml", testTime())
		cfg, _, err := l.load([]byte(modelConfig(all)))
		if err != nil {
			continue // exclusions leave no address, for example
		}
		for last := range 20 {
			addr := netip.AddrFrom4([4]byte{192, 0, 2, byte(last)})
			want, unresolved := decide(all, names, addr)
			got, _, err := cfg.Authorize(t.Context(), names, addr.String(), "", testTime())
			_, failed := errors.AsType[*UnresolvedError](err)
			if failed != unresolved || (err == nil) != (want >= 0) || err == nil && got.Target.Name != fmt.Sprintf("t%d", want) {
				t.Fatalf("Authorize(%v) = %+v, %v, want target %d, unresolved %v, with %v\n%s", addr, got.Target, err, want, unresolved, names, modelConfig(all))
			}
			decided[fmt.Sprint(want >= 0, unresolved)]++
		}
	}
	for _, kind := range []string{"true false", "false false", "false true"} {
		if decided[kind] < 300 {
			t.Errorf("decisions = %v, want 300 of each kind", decided)
		}
	}
}

func randomTargets(r *rand.Rand) []modelTarget {
	some := func(most int) (all []netip.Prefix) {
		for range r.IntN(most + 1) {
			p, _ := netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(20))}).Prefix(27 + r.IntN(6))
			all = append(all, p)
		}
		return all
	}
	all := make([]modelTarget, 1+r.IntN(4))
	for i := range all {
		all[i] = modelTarget{numeric: some(2), networks: some(2), exclude: some(r.IntN(3)), family: []string{"any", "any", "ip4", "ip6"}[r.IntN(4)]}
		for _, name := range []string{"a", "b"} {
			if r.IntN(3) == 0 {
				all[i].names = append(all[i].names, name)
			}
		}
	}
	return all
}

func randomNames(r *rand.Rand) resolved {
	names := make(resolved)
	for _, name := range []string{"a", "b"} {
		switch r.IntN(4) {
		case 0:
			names[name] = "fails"
		case 1: // does not exist
		default:
			names[name] = fmt.Sprintf("192.0.2.%d 192.0.2.%d", r.IntN(20), r.IntN(20))
		}
	}
	return names
}

func modelConfig(all []modelTarget) string {
	var b strings.Builder
	b.WriteString("modules: {m: {ports: 1}}\ntargets:\n")
	for i, t := range all {
		fmt.Fprintf(&b, "- {name: t%d, ip_protocol: %s, modules: [m], authorization: {owner: me}, exclude_hosts: [%s]", i, t.family, strings.Join(formatPrefixes(t.exclude), ","))
		if hosts := append(formatPrefixes(t.numeric), t.names...); len(hosts) > 0 {
			fmt.Fprintf(&b, ", hosts: [%s]", strings.Join(hosts, ","))
		}
		if len(t.networks) > 0 {
			fmt.Fprintf(&b, ", networks: [%s]", strings.Join(formatPrefixes(t.networks), ","))
		}
		b.WriteString("}\n")
	}
	return b.String()
}
