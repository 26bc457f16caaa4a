package config

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// applyOtherExclusions takes out of each target's scope what another one excludes, where
// that one names the address more precisely: it is never touched, whoever asks, by a
// name or network of a wider target included. The rule is that of [Config.Find].
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

// entries returns what the target may touch in numbers: hosts and networks.
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
