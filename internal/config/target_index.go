// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"net/netip"
	"slices"
)

// targetIndex has the targets of a configuration by name and by the entries of hosts and networks.
type targetIndex struct {
	targets []*Target
	byName  map[string]*Target
	entries map[netip.Prefix][]targetEntry
}

// targetEntry is an entry of hosts or networks.
type targetEntry struct {
	target int // position in the configuration
	host   int // position in hosts, or -1
}

func newTargetIndex(targets []*Target) targetIndex {
	x := targetIndex{
		targets: targets,
		byName:  make(map[string]*Target, len(targets)),
		entries: make(map[netip.Prefix][]targetEntry, len(targets)),
	}
	for i, t := range targets {
		x.byName[t.Name] = t
		for j, h := range t.Hosts {
			if !h.IsName() {
				x.entries[h.Network] = append(x.entries[h.Network], targetEntry{target: i, host: j})
			}
		}
		for _, p := range t.Networks {
			x.entries[p] = append(x.entries[p], targetEntry{target: i, host: -1})
		}
	}
	return x
}

// candidate is a target with an entry that contains an address.
type candidate struct {
	*Target

	position int // in the configuration
	bits     int // prefix length of the most specific entry, of which the address may be an end
	host     int // position of the most specific numeric entry of hosts, or -1
}

// candidates returns the targets with an entry that contains the address, in the order of the
// configuration.
func (x targetIndex) candidates(addr netip.Addr) []candidate {
	var found []candidate
	at := make(map[int]int) // by position in the configuration
	for bits := addr.BitLen(); bits >= 0; bits-- {
		p, _ := addr.Prefix(bits) // the number of bits is valid
		for _, e := range x.entries[p] {
			i, ok := at[e.target]
			if !ok {
				i = len(found)
				at[e.target] = i
				found = append(found, candidate{Target: x.targets[e.target], position: e.target, bits: bits, host: -1})
			}
			if c := &found[i]; c.host < 0 && e.host >= 0 && c.Hosts[e.host].Contains(addr) {
				c.host = e.host
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(a.position, b.position) })
	return found
}
