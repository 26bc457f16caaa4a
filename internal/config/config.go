// Package config reads config.yml and its target files: strictly, with every
// error at once, and each with its file, line and YAML path.
//
// What [Load] returns was checked to the last key, holds ready plans, and never
// changes. It is read from the YAML's nodes and not through YAML's types, so that
// scalars mean what is written.
package config

import (
	"maps"
	"net/netip"
	"slices"

	"portscan_exporter/internal/scan"
)

// Config is a configuration that was checked. Only [Load] makes one; it is
// read-only and may be used concurrently.
type Config struct {
	modules        []*Module
	targets        []*Target
	limits         Limits
	externalLabels map[string]string
	sources        []sourceAddress
	synModules     []value // where a module has method: syn
	yaml           func() (string, error)
}

// Limits are those of the exporter as a whole.
type Limits struct {
	MaxInFlight int // attempts under way, all scans together; 0: as descriptors allow
	MaxScans    int // scans at a time; at least 1
	Rate        int // packets a second, all scans together; 0: no ceiling
}

// Targets returns the targets in the order of the file, then those of the target
// files in the order in which the globs name them.
func (c *Config) Targets() []*Target { return slices.Clone(c.targets) }

// Modules returns the modules in the order of the file.
func (c *Config) Modules() []*Module { return slices.Clone(c.modules) }

// Module returns the module of that name.
func (c *Config) Module(name string) (*Module, bool) {
	for _, m := range c.modules {
		if m.Name == name {
			return m, true
		}
	}
	return nil, false
}

// Limits returns the limits of the exporter as a whole.
func (c *Config) Limits() Limits { return c.limits }

// ExternalLabels returns what goes onto every /sd entry.
func (c *Config) ExternalLabels() map[string]string { return maps.Clone(c.externalLabels) }

// YAML returns the complete configuration with all defaults and with the targets
// of all target files. The text can be loaded again. It is encoded by the first
// call, because it takes longer than loading.
func (c *Config) YAML() (string, error) { return c.yaml() }

// Selection is what a request asks for: a target, or one address of it.
type Selection struct {
	Target *Target
	Addr   netip.Addr // valid: that address alone
}

// Find returns what a request's target stands for: a target's name, or an
// address inside a target. Among several targets around an address the one with
// the most specific entry wins, then the first in order. An IPv4-mapped address
// counts as IPv4; one with a zone is inside no target.
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
			found.Target, most = nil, bits // never touched, whoever asks
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

// Task returns the scan of the selection by a module of its target. For a module
// that the target doesn't list the task has no plan, and [scan.NewRequest]
// refuses it.
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
		Until:        t.Authorization.Expires,
		Scope:        t.Scope,
		Plan:         t.plans[m],
	}
}

// excludedBits returns the length of the most specific entry of hosts or
// networks around an address that the target excludes, or -1.
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

// hostEntry returns the most specific entry of hosts that holds the address, or
// the address itself where only networks does.
func (t *Target) hostEntry(addr netip.Addr) string {
	entry, most := addr.String(), -1
	for _, h := range t.Hosts {
		if h.Network.Contains(addr) && h.Network.Bits() > most {
			entry, most = h.Entry, h.Network.Bits()
		}
	}
	return entry
}
