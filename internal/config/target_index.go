// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// targetIndex has the targets of a configuration by name and by the entries of hosts and networks.
type targetIndex struct {
	targets []*Target
	byName  map[string]*Target
	entries map[netip.Prefix][]targetEntry
}

// targetEntry is an entry of hosts or networks.
type targetEntry struct {
	target int     // position in the configuration
	host   int     // position in hosts, or -1
	bits   float64 // see [scan.Host.Bits]
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
				x.add(h, targetEntry{target: i, host: j})
			}
		}
		for _, h := range t.Networks {
			x.add(h, targetEntry{target: i, host: -1})
		}
	}
	return x
}

// add adds an entry by the networks that its addresses are.
func (x targetIndex) add(h scan.Host, e targetEntry) {
	e.bits = h.Bits()
	for _, p := range h.Prefixes() {
		x.entries[p] = append(x.entries[p], e)
	}
}

// candidate is a target with an entry that contains an address.
type candidate struct {
	*Target

	position int     // in the configuration
	bits     float64 // of the most specific entry, of which the address may be an end
	host     int     // position of the most specific numeric entry of hosts, or -1
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
				found = append(found, candidate{Target: x.targets[e.target], position: e.target, host: -1})
			}
			found[i] = found[i].with(e, addr)
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Compare(a.position, b.position) })
	return found
}

// with returns the candidate with an entry that contains the address or, if it is a network, has it
// as an end.
func (t candidate) with(e targetEntry, addr netip.Addr) candidate {
	t.bits = max(t.bits, e.bits)
	if e.host >= 0 && t.Hosts[e.host].Contains(addr) && (t.host < 0 || e.bits > t.Hosts[t.host].Bits()) {
		t.host = e.host
	}
	return t
}
