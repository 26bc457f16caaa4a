// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

// resolved is a [Names] with the addresses of names. A name without an entry does not exist; one
// with the address "fails" cannot be looked up.
type resolved map[string]string

func (r resolved) FindName(_ context.Context, addr netip.Addr, groups []scan.NameGroup) (int, string, error) {
	failed, err := -1, error(nil)
	for i, g := range groups {
		for _, h := range g.Names {
			name := h.Name()
			if slices.Contains(strings.Fields(r[name]), addr.String()) {
				return i, h.Entry, nil
			}
			if r[name] == "fails" && err == nil {
				failed, err = i, fmt.Errorf("resolving %s: timeout", name)
			}
		}
	}
	return failed, "", err
}

// noLookups fails the test if a name is looked up.
type noLookups struct{ *testing.T }

func (n noLookups) FindName(context.Context, netip.Addr, []scan.NameGroup) (int, string, error) {
	n.Error("got a lookup, want none")
	return -1, "", nil
}

func TestAuthorizeAddress(t *testing.T) {
	cfg := mustLoad(t, "find")
	names := resolved{"www.example.org": "2001:db8::2 198.51.100.1 192.0.2.1", "web.example.org": "203.0.113.4 203.0.113.7 203.0.113.100 192.0.2.69"}
	cases := []struct {
		request, target, entry string // target "": refused
	}{
		{"narrow", "narrow", ""},
		{"wide", "wide", ""},
		{"Wide", "", ""},
		{"192.0.2.1", "wide", "192.0.2.0/24"},            // equally specific: first in the file
		{"192.0.2.66", "narrow", "192.0.2.64/28"},        // excluded by one target, inside another
		{"192.0.2.65", "narrow", "192.0.2.64/28"},        // the most specific entry
		{"192.0.2.70", "single", "192.0.2.70"},           // a single address
		{"192.0.2.64", "wide", "192.0.2.0/24"},           // network address of one target, not of the other
		{"192.0.2.0", "", ""},                            // network address
		{"192.0.2.255", "single", "192.0.2.255"},         // broadcast address as an entry
		{"::ffff:192.0.2.1", "wide", "192.0.2.0/24"},     // IPv4-mapped
		{"2001:db8::1", "twin", "2001:db8::1"},           // /128 before /64
		{"2001:db8::2", "by-name", "www.example.org"},    // the name leads to it
		{"2001:0DB8::2", "by-name", "www.example.org"},   // other notation
		{"2001:db8::3", "", ""},                          // within networks, but not of the name
		{"198.51.100.1", "", ""},                         // of the name, but of another family
		{"203.0.113.1", "on-request", "203.0.113.1"},     // in networks of a target without hosts
		{"192.0.2.69", "on-request", "192.0.2.69"},       // a single address in networks
		{"203.0.113.3", "host", "203.0.113.3"},           // numeric
		{"203.0.113.4", "host", "web.example.org"},       // a name in a more specific network
		{"203.0.113.7", "host", "web.example.org"},       // excluded by a less specific target
		{"203.0.113.8", "on-request", "203.0.113.8"},     // in the network of a name, which does not lead to it
		{"203.0.113.100", "on-request", "203.0.113.100"}, // the name leads there, outside of its networks
		{"203.0.113.0", "", ""},                          // network address of both
		{"203.0.113.200", "", ""},                        // outside all targets
		{"fe80::1%eth0", "", ""},                         // zone
		{"2001:db8::1%eth0", "", ""},                     // zone
		{"www.example.org", "", ""},                      // an entry of hosts
		{"192.0.2.64/28", "", ""},                        // network
		{"64:ff9b::192.0.2.1", "", ""},                   // NAT64 form of an address inside
		{"on-request", "", ""},                           // without hosts
		{"", "", ""},
	}
	for _, c := range cases {
		got, _, err := cfg.Authorize(t.Context(), names, c.request, "", testTime())
		if (err == nil) != (c.target != "") || err == nil && got.Target.Name != c.target {
			t.Errorf("Authorize(%q) = %v, %v, want target %q", c.request, got.Target, err, c.target)
			continue
		}
		if err == nil && got.entry != c.entry {
			t.Errorf("Authorize(%q): entry = %q, want %q", c.request, got.entry, c.entry)
		}
	}
}

// TestAuthorizeLookups requires lookups only if the decision depends on them, and an error only
// if no other entry contains the address.
func TestAuthorizeLookups(t *testing.T) {
	cfg := loadText(t, `
modules: {m: {ports: 1}, other: {ports: 2}}
targets:
  - {name: named, hosts: [www.example.org, 192.0.2.5], networks: [192.0.2.0/25, 198.51.100.0/24], modules: [m], authorization: {owner: me}}
  - {name: wide, hosts: [192.0.2.0/24], modules: [m, other], authorization: {owner: me}}
  - {name: old, hosts: [old.example.org], networks: [192.0.2.128/25, 203.0.113.0/24], modules: [m], authorization: {owner: me, expires: 2020-01-01}}
`)
	failing := resolved{"www.example.org": "fails", "old.example.org": "fails"}
	for _, c := range []struct {
		request, module string
		names           Names
		want            string // the target, or a part of the error
	}{
		{"192.0.2.5", "", noLookups{t}, "named"}, // the most specific entry is numeric
		{"wide", "", noLookups{t}, "wide"},
		{"203.0.113.5", "", noLookups{t}, `authorization for target "old" expired`},
		{"198.51.100.5", "other", noLookups{t}, `target "named" does not list module "other"`},
		{"192.0.2.6", "", resolved{}, "wide"},
		{"192.0.2.6", "", failing, "wide"},
		{"192.0.2.6", "", resolved{"www.example.org": "192.0.2.6"}, "named"},
		{"192.0.2.6", "other", resolved{"www.example.org": "192.0.2.6"}, `target "named" does not list module "other"`},
		{"192.0.2.200", "", resolved{}, "wide"},
		{"192.0.2.200", "", resolved{"old.example.org": "192.0.2.200"}, `authorization for target "old" expired`},
		{"198.51.100.5", "", resolved{}, `hosts of target "named" does not lead to address 198.51.100.5: add it to hosts`},
		{"198.51.100.5", "", failing, "resolving www.example.org: timeout"},
	} {
		got, _, err := cfg.Authorize(t.Context(), c.names, c.request, c.module, testTime())
		var result string
		if err != nil {
			result = err.Error()
		} else {
			result = got.Target.Name
		}
		if !strings.Contains(result, c.want) {
			t.Errorf("Authorize(%q, %q) with %v = %s, want %s", c.request, c.module, c.names, result, c.want)
		}
		if _, ok := errors.AsType[*UnresolvedError](err); ok && (got.Target == nil || got.Target.Name != "named") {
			t.Errorf("Authorize(%q): selection = %+v with the error, want target named", c.request, got)
		}
	}
}

// TestReauthorize requires that a scan by name remains authorized without lookups, unless
// a numeric entry of another target is more specific.
func TestReauthorize(t *testing.T) {
	const named = `
modules: {m: {ports: 1}}
targets:
  - {name: named, hosts: [www.example.org], networks: [192.0.2.0/24], modules: [m], authorization: {owner: me}}
  - {name: other, hosts: [other.example.org], networks: [192.0.2.0/28], modules: [m], authorization: {owner: me}}
`
	for text, want := range map[string]string{
		named: "named",
		named + "  - {name: wide, hosts: [192.0.2.0/24], modules: [m], authorization: {owner: me}}\n": "named",
		named + "  - {name: single, hosts: [192.0.2.7], modules: [m], authorization: {owner: me}}\n":  "single",
		strings.Replace(named, "{owner: me}", "{owner: me, expires: 2020-01-01}", 1):                  "expired",
		strings.Replace(named, "192.0.2.0/24", "198.51.100.0/24", 1):                                  "does not lead",
	} {
		selection, _, err := loadText(t, text).Reauthorize("named", "192.0.2.7", "m", testTime())
		if err == nil && selection.Target.Name != want || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Reauthorize() = %+v, %v, want %s with\n%s", selection, err, want, text)
		}
	}
}

func loadText(t *testing.T, text string) *Config {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, text)
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func TestTaskTarget(t *testing.T) {
	cfg := mustLoad(t, "full")
	target, _ := cfg.Target("strict-1.a_b")
	s := Selection{Target: target}
	m, _ := s.Target.Module("")
	task := s.Task(m)
	if task.Target != "strict-1.a_b" || task.Module != "tcp_patient" || task.Family != scan.IPv4 || task.MaxAddresses != 256 {
		t.Errorf("Task = %+v", task)
	}
	if diff := cmp.Diff(s.Target.Hosts, task.Hosts, cmpOptions()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if got, want := task.Plan.Ports().String(), "22,443,8080-8081"; got != want {
		t.Errorf("ports = %s, want %s", got, want)
	}
	if got := task.Plan.Expected(22); got != scan.ExpectClosed {
		t.Errorf("Expected(22) = %v, want closed", got)
	}
	if spec := task.Plan.Spec(); spec.AllPorts || spec.Retries != 20 || spec.MaxRetries != 30 {
		t.Errorf("spec = %+v", spec)
	}
}

func TestTaskAddress(t *testing.T) {
	cfg := mustLoad(t, "full")
	s, m, err := cfg.Authorize(t.Context(), noLookups{t}, "::ffff:192.0.2.3", "tcp_full", testTime())
	if err != nil {
		t.Fatal(err)
	}
	task := s.Task(m)
	want := []scan.Host{{Entry: "192.0.2.0/28", Network: netip.MustParsePrefix("192.0.2.3/32")}}
	if diff := cmp.Diff(want, task.Hosts, cmpOptions()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if spec := task.Plan.Spec(); !spec.AllPorts || spec.Source != netip.MustParseAddr("192.0.2.200") || spec.Expect == nil {
		t.Errorf("spec = %+v", spec)
	}
	found := []scan.Address{{IP: s.Addr}, {IP: netip.MustParseAddr("192.0.2.4")}}
	req, refused, err := scan.NewRequest(task.Plan, task.Scope, found)
	if err != nil || len(refused) != 1 || len(req.Addresses()) != 1 || req.Addresses()[0].IP != s.Addr {
		t.Errorf("NewRequest = %v, %v, %v, want only %v", req.Addresses(), refused, err, s.Addr)
	}
}

func TestTaskUnlistedModule(t *testing.T) {
	cfg := mustLoad(t, "full")
	target, _ := cfg.Target("web")
	m, _ := cfg.Module("tcp_patient")
	task := Selection{Target: target}.Task(m)
	if _, _, err := scan.NewRequest(task.Plan, task.Scope, nil); err == nil {
		t.Error("NewRequest = nil error for a module that the target does not list")
	}
}

func TestTaskMissingExpectation(t *testing.T) {
	cfg := mustLoad(t, "full")
	for name, want := range map[string]scan.Expected{"bare": scan.ExpectAny, "silent": scan.ExpectClosed} {
		target, _ := cfg.Target(name)
		m, _ := target.Module("")
		if got := (Selection{Target: target}).Task(m).Plan.Expected(22); got != want {
			t.Errorf("target %s: Expected(22) = %v, want %v", name, got, want)
		}
	}
}

// TestAuthorizeExcluded asks for addresses that a target excludes and a wider target contains.
func TestAuthorizeExcluded(t *testing.T) {
	cfg := loadText(t, `
modules: {m: {ports: 1}}
targets:
  - {name: narrow, hosts: [192.0.2.0/28], exclude_hosts: [192.0.2.3], modules: [m], authorization: {owner: me}}
  - {name: wide, networks: [192.0.2.0/24, "64:ff9b::/96", "2002::/16"], exclude_hosts: [192.0.2.4, 198.51.100.1], modules: [m], authorization: {owner: me}}
  - {name: exact, hosts: ["64:ff9b::192.0.2.3"], modules: [m], authorization: {owner: me}}
`)
	for addr, want := range map[string]string{
		"192.0.2.2": "narrow", "192.0.2.3": "", "::ffff:192.0.2.3": "",
		"192.0.2.4":   "narrow", // inside the more specific target
		"192.0.2.200": "wide",
		// The forms of addresses that one of the targets excludes.
		"64:ff9b::192.0.2.2": "wide", "64:ff9b::192.0.2.3": "exact", "64:ff9b::192.0.2.4": "", "64:ff9b::198.51.100.1": "",
		"2002:c000:202::1": "wide", "2002:c000:203::1": "", "2002:c633:6401::1": "",
	} {
		got := ""
		if s, _, err := cfg.Authorize(t.Context(), noLookups{t}, addr, "", testTime()); err == nil {
			got = s.Target.Name
		}
		if got != want {
			t.Errorf("Authorize(%s) = %q, want %q", addr, got, want)
		}
	}
}
