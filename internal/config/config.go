// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package config implements the strict loading of config.yml and its target files.
//
// All errors are returned at once, each with file, line and YAML path. A [Config]
// is completely checked, has the plans of all its scans, and is immutable. It is
// decoded from YAML nodes, not through YAML types, so that scalars have the text
// that is written: 0443 and 2027-06-30 are not converted.
package config

import (
	"maps"
	"slices"
)

// Config is a checked configuration, as returned by [Load]. It is immutable and
// safe for concurrent use.
type Config struct {
	modules        []*Module
	targets        []*Target
	index          targetIndex
	limits         Limits
	externalLabels map[string]string
	sources        []sourceAddress
	synModules     []value // the modules with method: syn
	hostPlaces     []hostPlaces
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

func (c *Config) moduleNames() []string {
	names := make([]string, 0, len(c.modules))
	for _, m := range c.modules {
		names = append(names, m.Name)
	}
	return names
}

// Limits returns the limits of all scans together.
func (c *Config) Limits() Limits { return c.limits }

// ExternalLabels returns the labels of all entries of /sd.
func (c *Config) ExternalLabels() map[string]string { return maps.Clone(c.externalLabels) }

// YAML returns the complete configuration with all defaults and with the targets
// of all target files. The text can be loaded again. The first call encodes it,
// because encoding takes longer than loading.
func (c *Config) YAML() (string, error) { return c.yaml() }
