// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// Selection is a target, or one address of a target, that a request names.
type Selection struct {
	Target *Target
	Addr   netip.Addr // if valid, the only address to scan
	entry  string     // of the target's hosts that leads to Addr
}

// Task returns the scan of the selection by a module of its target. If the target
// does not list the module, the task has no plan and [scan.NewRequest] returns an
// error.
func (s Selection) Task(m *Module) scan.Task {
	task := s.Target.tasks[m]
	if s.Addr.IsValid() {
		return task.ForAddress(s.Addr, s.entry)
	}
	return task
}

// Target returns the target with a name.
func (c *Config) Target(name string) (*Target, bool) {
	t, ok := c.index.byName[name]
	return t, ok
}

// Find returns the target with a name, or the most specific target that an address can be
// inside, without checking to which addresses names resolve.
func (c *Config) Find(asked string) (*Target, bool) {
	if t, ok := c.Target(asked); ok {
		return t, true
	}
	if addr, ok := parseAsked(asked); ok {
		if claims := c.claims(addr); len(claims) > 0 {
			return claims[0].target, true
		}
	}
	return nil, false
}

// parseAsked parses an address in a request. An IPv4-mapped address counts as IPv4. An
// address with a zone is not inside any target.
func parseAsked(text string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(text)
	return addr.Unmap(), err == nil && addr.Zone() == ""
}

// claim is a way in which an address is inside a target: through a numeric entry of hosts,
// through a name in hosts if that resolves to the address, or, without hosts, through networks.
type claim struct {
	target *Target     // nil: an exclusion, which overrides the claims that are not before it
	bits   float64     // of the entry, see [scan.Host.Bits]
	entry  string      // of hosts; the address itself if only networks contains it
	names  []scan.Host // of hosts; if not empty, one of them must resolve to the address

	module *Module // that the request names; nil: denied
	denied error
}

// claims returns the claims to an address that no exclusion overrides, of the targets that cover its
// IP version. The most specific one is first, then the first in order of the configuration.
func (c *Config) claims(addr netip.Addr) []claim {
	var all []claim
	for _, t := range c.index.candidates(addr) {
		if t.Scope.ExcludedItself(addr) {
			all = append(all, claim{bits: t.bits})
		}
		all = append(all, t.claims(addr)...)
	}
	slices.SortStableFunc(all, func(a, b claim) int { return cmp.Compare(b.bits, a.bits) })
	if i := slices.IndexFunc(all, func(c claim) bool { return c.target == nil }); i >= 0 {
		return all[:i]
	}
	return all
}

// claims returns the claims of the target to an address. Its names are a claim only if they are
// more specific than its numeric hosts: as specific as the network that contains it.
func (t candidate) claims(addr netip.Addr) (all []claim) {
	bits, ok := t.Scope.Match(addr)
	if _, covered := t.moduleFor(addr); !ok || !covered {
		return nil
	}
	if t.IsByAddress() {
		return []claim{{target: t.Target, bits: bits, entry: addr.String()}}
	}
	most := -1.
	if t.host >= 0 {
		most = t.Hosts[t.host].Bits()
	}
	if most < bits && len(t.names) > 0 {
		all = append(all, claim{target: t.Target, bits: bits, entry: addr.String(), names: t.names})
	}
	if most >= 0 {
		all = append(all, claim{target: t.Target, bits: most, entry: t.Hosts[t.host].Entry})
	}
	return all
}
