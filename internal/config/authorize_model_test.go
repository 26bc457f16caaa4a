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

// modelNumbers is a network or a range in 192.0.2.0/24.
type modelNumbers struct {
	text        string
	first, last int
	trimmed     bool // the ends are the network and broadcast addresses
}

func (n modelNumbers) contains(addr netip.Addr) bool {
	last := int(addr.As4()[3])
	return n.first <= last && last <= n.last
}

func (n modelNumbers) hasEnd(addr netip.Addr) bool {
	last := int(addr.As4()[3])
	return n.trimmed && (last == n.first || last == n.last)
}

// modelTarget is a target of a naive model of [Config.Authorize].
type modelTarget struct {
	numeric, networks, exclude []modelNumbers
	names                      []string
	family                     string
}

// modelEntry is an entry of a target that contains an address.
type modelEntry struct {
	target, size int
	excluded     bool // overrides the entries after it
	permitted    bool
	failed       bool // permitted if the lookup that failed has the address
}

// decide returns the index of the target that wins, or -1, and whether that depends on a lookup
// that failed.
func decide(all []modelTarget, names resolved, addr netip.Addr) (target int, unresolved bool) {
	var entries []modelEntry
	for i, t := range all {
		excluded := slices.ContainsFunc(t.exclude, func(n modelNumbers) bool { return n.contains(addr) })
		for j, n := range slices.Concat(t.numeric, t.networks) {
			if !n.contains(addr) || n.hasEnd(addr) && !excluded {
				continue
			}
			e := modelEntry{target: i, size: n.last - n.first + 1, excluded: excluded}
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
	slices.SortStableFunc(entries, func(a, b modelEntry) int { return a.size - b.size })
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
	some := func(most int) (all []modelNumbers) {
		for range r.IntN(most + 1) {
			all = append(all, randomNumbers(r))
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

// randomNumbers returns a network, or a range in one of its two forms.
func randomNumbers(r *rand.Rand) modelNumbers {
	first := r.IntN(20)
	last := first + r.IntN(16)
	switch r.IntN(4) {
	case 0:
		return modelNumbers{text: fmt.Sprintf("192.0.2.%d-%d", first, last), first: first, last: last}
	case 1:
		return modelNumbers{text: fmt.Sprintf("192.0.2.%d-192.0.2.%d", first, last), first: first, last: last}
	}
	bits := 27 + r.IntN(6)
	size := 1 << (32 - bits)
	first -= first % size
	return modelNumbers{text: fmt.Sprintf("192.0.2.%d/%d", first, bits), first: first, last: first + size - 1, trimmed: bits < 31}
}

// joinTexts returns the texts of networks and ranges, and names, as a YAML list.
func joinTexts(all []modelNumbers, names ...string) string {
	var texts []string
	for _, n := range all {
		texts = append(texts, n.text)
	}
	return "[" + strings.Join(append(texts, names...), ",") + "]"
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
		fmt.Fprintf(&b, "- {name: t%d, ip_protocol: %s, modules: [m], authorization: {owner: me}, exclude_hosts: %s", i, t.family, joinTexts(t.exclude))
		if len(t.numeric)+len(t.names) > 0 {
			fmt.Fprintf(&b, ", hosts: %s", joinTexts(t.numeric, t.names...))
		}
		if len(t.networks) > 0 {
			fmt.Fprintf(&b, ", networks: %s", joinTexts(t.networks))
		}
		b.WriteString("}\n")
	}
	return b.String()
}
