package config

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// applyOtherExclusions removes the exclusions of each target from the scopes of
// less specific targets, so that their names and networks do not reach an excluded
// address. The rule is the same as in [Config.Find].
func (l *loader) applyOtherExclusions() {
	for _, owner := range l.cfg.targets {
		if len(owner.ExcludeHosts) == 0 {
			continue
		}
		for _, t := range l.cfg.targets {
			if t != owner {
				t.Scope = scopeWithout(t, owner)
			}
		}
	}
}

func scopeWithout(t, owner *Target) scan.Scope {
	scope := t.Scope
	for _, part := range owner.allowedPrefixes() {
		if !overlapsWider(part, t.allowedPrefixes()) {
			continue
		}
		for _, excluded := range owner.ExcludeHosts {
			if excluded.Overlaps(part) {
				scope = scope.Without(part, excluded)
			}
		}
	}
	return scope
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

func overlapsWider(p netip.Prefix, others []netip.Prefix) bool {
	for _, o := range others {
		if p.Overlaps(o) && p.Bits() > o.Bits() {
			return true
		}
	}
	return false
}
