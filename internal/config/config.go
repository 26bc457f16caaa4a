// Package config implements the strict loading of config.yml and its target files.
//
// All errors are returned at once, each with file, line and YAML path. A [Config]
// is completely checked, has the plans of all its scans, and is immutable. It is
// decoded from YAML nodes, not through YAML types, so that scalars have the text
// that is written: 0443 and 2027-06-30 are not converted.
package config

import (
	"maps"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// Config is a checked configuration, as returned by [Load]. It is immutable and
// safe for concurrent use.
type Config struct {
	modules        []*Module
	targets        []*Target
	limits         Limits
	externalLabels map[string]string
	sources        []sourceAddress
	synModules     []value // the modules with method: syn
	yaml           func() (string, error)
}

// Limits are the limits of all scans together.
type Limits struct {
	MaxInFlight int // attempts in flight; 0: as many as descriptors allow
	MaxScans    int // concurrent scans; at least 1
	Rate        int // packets per second; 0: unlimited
}

// Targets returns the targets in the order of the file, followed by those of the
// target files in the order of their patterns.
func (c *Config) Targets() []*Target { return slices.Clone(c.targets) }

// Modules returns the modules in the order of the file.
func (c *Config) Modules() []*Module { return slices.Clone(c.modules) }

// Module returns the module with a name.
func (c *Config) Module(name string) (*Module, bool) {
	for _, m := range c.modules {
		if m.Name == name {
			return m, true
		}
	}
	return nil, false
}

// Limits returns the limits of all scans together.
func (c *Config) Limits() Limits { return c.limits }

// ExternalLabels returns the labels of all entries of /sd.
func (c *Config) ExternalLabels() map[string]string { return maps.Clone(c.externalLabels) }

// YAML returns the complete configuration with all defaults and with the targets
// of all target files. The text can be loaded again. The first call encodes it,
// because encoding takes longer than loading.
func (c *Config) YAML() (string, error) { return c.yaml() }

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
	t := s.Target
	hosts, asked := t.Hosts, t.Name
	if s.Addr.IsValid() {
		asked = s.Addr.String()
		alone := netip.PrefixFrom(s.Addr, s.Addr.BitLen())
		hosts = []scan.Host{{Entry: t.hostEntry(s.Addr), Network: alone}}
	}
	return scan.Task{
		Asked:        asked,
		Target:       t.Name,
		Module:       m.Name,
		Hosts:        slices.Clone(hosts),
		Family:       t.Family,
		MaxAddresses: m.MaxAddresses,
		MaxAge:       m.MaxAge,
		Expires:      t.Authorization.Expires,
		Scope:        t.Scope,
		Plan:         t.plans[m],
	}
}

// excludedBits returns the prefix length of the most specific entry of hosts or
// networks that contains an address excluded by the target, or -1.
func (t *Target) excludedBits(addr netip.Addr) int {
	most := -1
	if !t.Scope.Excluded(addr) {
		return most
	}
	for _, h := range t.Hosts {
		if h.Network.Contains(addr) {
			most = max(most, h.Network.Bits())
		}
	}
	for _, p := range t.Networks {
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
