// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// applyOtherExclusions removes the exclusions of each target from the scopes of
// less specific targets, so that their names and networks do not reach an excluded
// address. The rule is the same as in [Config.Authorize].
func (l *loader) applyOtherExclusions() {
	index, embedding := newPrefixIndex(l.cfg.targets), embeddingTargets(l.cfg.targets)
	for _, owner := range l.cfg.targets {
		if len(owner.ExcludeHosts) == 0 {
			continue
		}
		for _, part := range owner.allowedPrefixes() {
			around := index.targetsAround(part)
			if part.Addr().Is4() {
				around = append(around, embedding...)
			}
			for _, t := range around {
				if t != owner {
					t.Scope = scopeWithout(t.Scope, part, owner.ExcludeHosts)
				}
			}
		}
	}
}

// embeddingTargets returns the targets whose IPv6 addresses can contain IPv4 addresses
// that another target excludes.
func embeddingTargets(targets []*Target) (embedding []*Target) {
	for _, t := range targets {
		if slices.ContainsFunc(t.allowedPrefixes(), scan.EmbedsIPv4) {
			embedding = append(embedding, t)
		}
	}
	return embedding
}

func scopeWithout(scope scan.Scope, part netip.Prefix, exclusions []netip.Prefix) scan.Scope {
	for _, excluded := range exclusions {
		if excluded.Overlaps(part) {
			scope = scope.WithExclusion(part, excluded)
		}
	}
	return scope
}

// prefixIndex has the targets of each entry of hosts and networks.
type prefixIndex map[netip.Prefix][]*Target

func newPrefixIndex(targets []*Target) prefixIndex {
	index := make(prefixIndex)
	for _, t := range targets {
		for _, p := range t.allowedPrefixes() {
			index[p] = append(index[p], t)
		}
	}
	return index
}

// targetsAround returns the targets with a less specific entry that contains the
// part.
func (p prefixIndex) targetsAround(part netip.Prefix) []*Target {
	var around []*Target
	for bits := range part.Bits() {
		for _, t := range p[netip.PrefixFrom(part.Addr(), bits).Masked()] {
			if !slices.Contains(around, t) {
				around = append(around, t)
			}
		}
	}
	return around
}

// allowedPrefixes returns the numeric hosts and the networks of the target.
func (t *Target) allowedPrefixes() []netip.Prefix {
	all := make([]netip.Prefix, 0, len(t.Hosts)+len(t.Networks))
	for _, h := range t.Hosts {
		if !h.IsName() {
			all = append(all, h.Network)
		}
	}
	return append(all, t.Networks...)
}
