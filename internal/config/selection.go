// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// Selection is a target, or one address of a target, that a request names.
type Selection struct {
	Target *Target
	Addr   netip.Addr // if valid, the only address to scan
}

// Find returns the selection for a target's name or for an address inside a
// target. If several targets contain the address, the one with the most specific
// entry wins, then the first in order. An IPv4-mapped address counts as IPv4. An
// address with a zone is not inside any target.
func (c *Config) Find(target string) (Selection, bool) {
	for _, t := range c.targets {
		if t.Name == target {
			return Selection{Target: t}, true
		}
	}
	addr, err := netip.ParseAddr(target)
	if err != nil || addr.Zone() != "" {
		return Selection{}, false
	}
	found := Selection{Addr: addr.Unmap()}
	most := -1
	for _, t := range c.targets {
		if bits := t.excludedBits(found.Addr); bits > most {
			found.Target, most = nil, bits // an excluded address is never scanned
		}
		bits, ok := t.Scope.Match(found.Addr)
		if ok && bits > most && t.Family.Includes(found.Addr) {
			found.Target, most = t, bits
		}
	}
	if found.Target == nil {
		return Selection{}, false
	}
	return found, true
}

// Task returns the scan of the selection by a module of its target. If the target
// does not list the module, the task has no plan and [scan.NewRequest] returns an
// error.
func (s Selection) Task(m *Module) scan.Task {
	task := s.Target.tasks[m]
	if s.Addr.IsValid() {
		return task.ForAddress(s.Addr, s.Target.hostEntry(s.Addr))
	}
	return task
}

// excludedBits returns the prefix length of the most specific entry of hosts or
// networks that contains an address excluded by the target, or -1.
func (t *Target) excludedBits(addr netip.Addr) int {
	most := -1
	if !t.Scope.Excluded(addr) {
		return most
	}
	for _, p := range t.allowedPrefixes() {
		if p.Contains(addr) {
			most = max(most, p.Bits())
		}
	}
	return most
}

// hostEntry returns the most specific entry of hosts that contains the address, or
// the address itself if only networks contains it.
func (t *Target) hostEntry(addr netip.Addr) string {
	entry, most := addr.String(), -1
	for _, h := range t.Hosts {
		if h.Network.Contains(addr) && h.Network.Bits() > most {
			entry, most = h.Entry, h.Network.Bits()
		}
	}
	return entry
}
