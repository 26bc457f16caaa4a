// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"math/big"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// hosts returns a decoder for the names and addresses to scan.
func (l *loader) hosts(t *targetDraft) func(value) {
	return func(v value) {
		t.hostsAt = v
		items, texts := l.scalars(v)
		l.checkNotEmpty(v)
		for i, text := range texts {
			h, err := parseScannable(text)
			if err != nil {
				l.errorf(items[i], "%s", err)
				continue
			}
			t.Hosts = append(t.Hosts, h)
			t.hostAt = append(t.hostAt, items[i])
		}
	}
}

// parseScannable parses an entry of hosts.
func parseScannable(text string) (scan.Host, error) {
	h, err := parseHost(text)
	if err == nil && !h.IsName() {
		err = checkScannable(h)
	}
	return h, err
}

// networks returns a decoder for addresses, networks and ranges. Excluded ones, which are
// not touched, may be addresses that cannot be scanned, such as multicast.
func (l *loader) networks(dst *[]scan.Host, touched bool) func(value) {
	parse := parseHost
	if touched {
		parse = parseScannable
	}
	return func(v value) {
		items, texts := l.scalars(v)
		for i, text := range texts {
			h, err := parse(text)
			switch {
			case err != nil:
				l.errorf(items[i], "%s", err)
			case h.IsName():
				l.errorf(items[i], "%s is a host name, and its addresses can change: write an address or a network, such as 192.0.2.0/24", quoteValue(text))
			default:
				*dst = append(*dst, h)
			}
		}
	}
}

// checkHosts sets the scope of a target and checks that the target has addresses,
// but not more than its modules allow.
func (l *loader) checkHosts(t *targetDraft) {
	for _, h := range t.Hosts {
		if h.IsName() {
			t.names = append(t.names, h)
		}
	}
	if !l.checkNetworks(t, len(t.names) > 0) {
		return
	}
	scope, err := newScope(t.Target)
	if err != nil {
		l.errorf(t.at, "%s", err)
		return
	}
	t.Scope = scope
	if t.IsByAddress() {
		l.checkAnyAddress(t, t.networksAt, "network", t.Networks)
		return
	}
	if len(t.names) == 0 && !l.checkAnyAddress(t, t.hostsAt, "host", t.Hosts) {
		return
	}
	l.checkSize(t)
}

// addHostPlaces keeps the positions of a target's hosts for [OwnHosts], but not the YAML nodes.
func (l *loader) addHostPlaces(t *targetDraft) {
	places := make([]place, 0, len(t.hostAt))
	for _, at := range t.hostAt {
		places = append(places, place{file: at.file, path: at.path, line: at.line})
	}
	l.cfg.hostPlaces = append(l.cfg.hostPlaces, hostPlaces{target: t.Target, places: places})
}

// newScope returns the scope of the target without the exclusions of others.
func newScope(t *Target) (scan.Scope, error) {
	var allow []netip.Prefix
	var ranges []scan.Host
	for _, h := range slices.Concat(t.Hosts, t.Networks) {
		switch {
		case h.IsName():
		case h.IsRange():
			ranges = append(ranges, h)
		default:
			allow = append(allow, h.Network)
		}
	}
	return scan.NewScope(allow, allPrefixes(t.ExcludeHosts), ranges...)
}

// allPrefixes returns the networks of numeric entries.
func allPrefixes(hosts []scan.Host) (all []netip.Prefix) {
	for _, h := range hosts {
		all = append(all, h.Prefixes()...)
	}
	return all
}

// checkNetworks reports whether a target has networks if it needs them, and warns if they have no
// effect.
func (l *loader) checkNetworks(t *targetDraft, hasName bool) bool {
	switch {
	case len(t.Networks) == 0 && t.IsByAddress():
		l.errorf(t.networksAt, "must not be empty: write %s", t.networksAt.example)
		return false
	case len(t.Networks) == 0 && hasName:
		l.errorf(t.at, "networks is missing, but hosts has a name: write the networks that the name may resolve to, such as networks: [192.0.2.0/24]")
		return false
	case len(t.Networks) > 0 && !t.IsByAddress() && !hasName:
		l.warnf(t.networksAt, "networks has no effect, because hosts has no name: remove the key, or write a target with networks and without hosts to scan addresses on request")
	}
	return true
}

// checkAnyAddress reports whether exclusions leave an address of the hosts for each module.
func (l *loader) checkAnyAddress(t *targetDraft, at value, entry string, hosts []scan.Host) bool {
	checked := make(map[scan.Family]bool)
	for i, m := range t.Modules {
		family := t.FamilyFor(m)
		switch {
		case checked[family]:
		case len(addrsToScan(t.Target, hosts, family)) > 0:
			checked[family] = true
		case family == t.Family:
			l.errorf(at, "no address remains after exclude_hosts and ip_protocol: write at least one other %s", entry)
			return false
		default:
			l.errorf(t.moduleAt[i], "no address remains after exclude_hosts and ip_protocol: %s of module %q: write another module, or at least one other %s", family, m.Name, entry)
			return false
		}
	}
	return true
}

// addrsToScan returns the numeric addresses of the hosts that are of a family and that the target
// does not exclude.
func addrsToScan(t *Target, hosts []scan.Host, family scan.Family) addrSet {
	return hostAddrs(hosts, family).subtract(prefixAddrs(allPrefixes(t.ExcludeHosts)))
}

// checkSize compares the number of numeric addresses with max_addresses of the target's modules. It
// reports the errors of one module.
func (l *loader) checkSize(t *targetDraft) {
	modules := slices.DeleteFunc(slices.Clone(t.Modules), func(m *Module) bool { return l.invalid[m] })
	slices.SortStableFunc(modules, func(a, b *Module) int { return cmp.Compare(a.MaxAddresses, b.MaxAddresses) })
	checked := make(map[scan.Family]bool)
	for _, m := range modules {
		family := t.FamilyFor(m)
		if !checked[family] && !l.checkModuleSize(t, m, family) {
			return
		}
		checked[family] = true // later modules allow more
	}
}

// checkModuleSize reports whether the numeric addresses of a family are not too many for a module.
func (l *loader) checkModuleSize(t *targetDraft, m *Module, family scan.Family) bool {
	before := len(l.errs)
	for i, h := range t.Hosts {
		if h.Count() <= m.MaxAddresses || !family.IncludesHost(h) || len(l.errs)-before == maxFileErrors {
			continue
		}
		kind := "network"
		if h.IsRange() {
			kind = "range"
		}
		l.errorf(t.hostAt[i], "%s has %s addresses, but module %q allows %d: write a smaller %s, or increase max_addresses in the module",
			h, hostAddrs([]scan.Host{h}, scan.AnyFamily).count(), m.Name, m.MaxAddresses, kind)
	}
	if count := addrsToScan(t.Target, t.Hosts, family).count(); len(l.errs) == before && count.Cmp(big.NewInt(int64(m.MaxAddresses))) > 0 {
		l.errorf(t.hostsAt, "hosts has %s addresses, but module %q allows %d: write fewer hosts, or increase max_addresses in the module",
			count, m.Name, m.MaxAddresses)
	}
	return len(l.errs) == before
}
