// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"net/netip"
	"path/filepath"
	"slices"
	"testing"

	"portscan_exporter/internal/scan"
)

func TestParseResolver(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"192.0.2.53":              "192.0.2.53:53",
		"192.0.2.53:5353":         "192.0.2.53:5353",
		"127.0.0.1:53":            "127.0.0.1:53",
		"[2001:db8::53]":          "[2001:db8::53]:53",
		"[2001:db8::53]:53":       "[2001:db8::53]:53",
		"[::ffff:192.0.2.53]:530": "192.0.2.53:530",
	} {
		got, err := parseResolver(text)
		if err != nil || got.String() != want {
			t.Errorf("parseResolver(%q) = %v, %v, want %s", text, got, err, want)
		}
	}
}

// groupNames is a [Names] that records the groups and finds no name.
type groupNames struct{ groups []scan.NameGroup }

func (n *groupNames) FindName(_ context.Context, _ netip.Addr, groups []scan.NameGroup) (int, string, error) {
	n.groups = groups
	return -1, "", nil
}

// TestAuthorizeResolver requires that names are looked up with the resolver of the module that a
// request names, or that of the target's first module.
func TestAuthorizeResolver(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, `
modules:
  system: {ports: "1"}
  inside: {ports: "1", resolver: "192.0.2.53"}
  outside: {ports: "1", resolver: "198.51.100.53:5353"}
targets:
  - {name: one, hosts: [a.example.org], networks: [192.0.2.0/28], modules: [system, inside, outside], authorization: {owner: me}}
  - {name: denied, hosts: [c.example.org], networks: [192.0.2.0/27], modules: [outside], authorization: {owner: me}}
  - {name: two, hosts: [b.example.org], networks: [192.0.2.0/24], ip_protocol: ip4, modules: [inside, outside], authorization: {owner: me}}
`)
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := netip.MustParseAddrPort("192.0.2.53:53"), netip.MustParseAddrPort("198.51.100.53:5353")
	for module, want := range map[string][]netip.AddrPort{
		"":        {{}, outside, inside},
		"inside":  {inside, outside, inside},
		"outside": {outside, outside, outside},
	} {
		var n groupNames
		cfg.Authorize(t.Context(), &n, "192.0.2.1", module, testTime()) // refused, since no name has the address
		var got []netip.AddrPort
		for _, g := range n.groups {
			got = append(got, g.Resolver)
		}
		if !slices.Equal(got, want) || n.groups[0].Family != scan.AnyFamily || n.groups[2].Family != scan.IPv4 {
			t.Errorf("module %q: got groups %v, want resolvers %v", module, n.groups, want)
		}
	}
	for _, target := range cfg.Targets() {
		for _, m := range target.Modules {
			if got := (Selection{Target: target}).Task(m).Resolver; got != m.Resolver {
				t.Errorf("%s, %s: task has resolver %v, want %v", target.Name, m.Name, got, m.Resolver)
			}
		}
	}
}
