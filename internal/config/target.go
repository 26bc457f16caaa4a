// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"regexp"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
)

// Target is a set of hosts that may be scanned. It is immutable and safe for concurrent use.
type Target struct {
	Name          string
	Hosts         []scan.Host // none: addresses in Networks are scanned on request
	ExcludeHosts  []scan.Host // never scanned
	Networks      []scan.Host // networks that names in Hosts may resolve to
	Family        scan.Family // its own ip_protocol, see [Target.FamilyFor]
	Modules       []*Module   // at least one; the first is the default
	Authorization Authorization
	Expect        map[scan.Protocol]scan.Expectation // no expectation for a missing protocol
	Labels        map[string]string                  // for /sd
	Scope         scan.Scope                         // numeric hosts and networks without excluded addresses

	familySet bool // ip_protocol is set, also to any

	names []scan.Host           // in Hosts
	plans map[*Module]scan.Plan // by module of the target
	tasks map[*Module]scan.Task // of the complete target, by module
}

// IsByAddress reports whether the target has no hosts: its addresses are scanned one by
// one, on request.
func (t *Target) IsByAddress() bool { return len(t.Hosts) == 0 }

// FamilyFor returns the IP versions of a scan by a module: those of the target or, if it has no
// ip_protocol, of the module.
func (t *Target) FamilyFor(m *Module) scan.Family {
	if t.familySet {
		return t.Family
	}
	return m.Family
}

// moduleFor returns the first module that scans the IP version of the address.
func (t *Target) moduleFor(addr netip.Addr) (*Module, bool) {
	for _, m := range t.Modules {
		if t.FamilyFor(m).Includes(addr) {
			return m, true
		}
	}
	return nil, false
}

// Module returns a module of the target by name, or the default module for "".
func (t *Target) Module(name string) (*Module, bool) {
	for _, m := range t.Modules {
		if name == "" || m.Name == name {
			return m, true
		}
	}
	return nil, false
}

// targetDraft is a target with the positions that later checks report.
type targetDraft struct {
	*Target
	at      value
	hostsAt value   // of hosts or, without that key, hosts_file
	hostAt  []value // one for each entry of Hosts
	invalid bool    // its file of hosts has errors, which are reported once

	networksAt value

	moduleAt []value // one for each entry of Modules
	expectAt map[scan.Protocol]value
	openAt   map[scan.Protocol]value
}

// decodeTargets decodes a list of targets.
func (l *loader) decodeTargets(v value) {
	for _, item := range l.listItems(v) {
		item.example = "the keys of a target, such as name: web"
		l.decodeTarget(item)
	}
}

func (l *loader) decodeTarget(v value) {
	before := len(l.errs)
	t := &targetDraft{
		Target: &Target{
			Expect: make(map[scan.Protocol]scan.Expectation),
			Labels: make(map[string]string),
			plans:  make(map[*Module]scan.Plan),
			tasks:  make(map[*Module]scan.Task),
		},
		at:       v,
		expectAt: make(map[scan.Protocol]value),
		openAt:   make(map[scan.Protocol]value),
	}
	l.decodeMapping(v, l.targetFields(t)...)
	for _, m := range t.Modules {
		l.used[m] = true
	}
	l.checkExpect(t)
	if len(l.errs) > before || t.invalid {
		return // further errors would be consequences of these
	}
	l.checkHosts(t)
	l.makePlans(t)
	l.checkMemory(t)
	l.cfg.targets = append(l.cfg.targets, t.Target)
	l.addHostPlaces(t)
}

func (l *loader) targetFields(t *targetDraft) []field {
	return []field{
		{key: "name", example: "name: web", required: true, decode: l.targetName(t)},
		{key: "hosts", example: "hosts: [192.0.2.10]", required: true, unless: []string{"hosts_file", "networks"}, decode: l.hosts(t)},
		{key: "hosts_file", example: "hosts_file: hosts.txt", decode: l.hostsFile(t)}, // after hosts
		{key: "exclude_hosts", example: "exclude_hosts: [192.0.2.9]", decode: l.networks(&t.ExcludeHosts, false)},
		{key: "networks", example: "networks: [192.0.2.0/24]", decode: func(v value) {
			t.networksAt = v
			l.networks(&t.Networks, true)(v)
		}},
		{key: "ip_protocol", example: "ip_protocol: any", decode: func(v value) {
			t.familySet = true
			oneOf(l, &t.Family, families())(v)
		}},
		{key: "modules", example: "modules: [tcp_default]", required: true, decode: l.targetModules(t)},
		{key: "authorization", example: `authorization: {owner: "net team"}`, required: true, decode: l.authorization(&t.Authorization)},
		{key: "expect", example: `expect: {tcp: {open: "22,443"}}`, decode: l.expect(t)},
		{key: "labels", example: "labels: {env: prod}", decode: l.labels(t.Labels)},
	}
}

var namePattern = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// checkName checks the name of a module or a target.
func (l *loader) checkName(v value, name string) {
	switch {
	case !namePattern.MatchString(name):
		l.errorf(v, "%s is not a valid name: write only letters, digits and the characters _ . -", quoteValue(name))
	case name == "." || name == "..":
		l.errorf(v, "%s is reserved in URL paths: write another name", quoteValue(name))
	}
}

func (l *loader) targetName(t *targetDraft) func(value) {
	return func(v value) {
		name, ok := l.scalar(v)
		if !ok {
			return
		}
		t.Name = name
		if _, err := netip.ParseAddr(name); err == nil {
			l.errorf(v, "%s is an address: write a name here and the address in hosts", quoteValue(name))
		} else {
			l.checkName(v, name)
		}
		if first, taken := l.targetPos[name]; taken {
			l.errorf(v, "target name %s is already used at %s:%d: write another name", quoteValue(name), first.file, first.line)
			return
		}
		l.targetPos[name] = v
	}
}

func (l *loader) targetModules(t *targetDraft) func(value) {
	return func(v value) {
		items, names := l.scalars(v)
		for i, name := range names {
			m, ok := l.moduleNamed[name]
			if _, doubled := t.Module(name); doubled && name != "" {
				l.errorf(items[i], "duplicate module %s: write the module once", quoteValue(name))
				continue
			}
			if !ok {
				l.errorf(items[i], "module %s is not configured: %s", quoteValue(name), suggest(name, l.cfg.moduleNames()))
				continue
			}
			t.Modules = append(t.Modules, m)
			t.moduleAt = append(t.moduleAt, items[i])
		}
		l.checkNotEmpty(v)
	}
}

// checkNotEmpty reports an error for an empty list.
func (l *loader) checkNotEmpty(v value) {
	if v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		l.errorf(v, "must not be empty: write %s", v.example)
	}
}
