// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/scan"
)

func TestFind(t *testing.T) {
	cfg := mustLoad(t, "find")
	cases := []struct {
		request, target, addr string // target "": not found
	}{
		{"narrow", "narrow", ""},
		{"wide", "wide", ""},
		{"Wide", "", ""},
		{"192.0.2.1", "wide", "192.0.2.1"},         // equally specific: first in the file
		{"192.0.2.66", "narrow", "192.0.2.66"},     // excluded by one target, inside another
		{"192.0.2.65", "narrow", "192.0.2.65"},     // the most specific entry
		{"192.0.2.70", "single", "192.0.2.70"},     // a single address
		{"192.0.2.64", "wide", "192.0.2.64"},       // network address of one target, not of the other
		{"192.0.2.0", "", ""},                      // network address
		{"192.0.2.255", "single", "192.0.2.255"},   // broadcast address as an entry
		{"::ffff:192.0.2.1", "wide", "192.0.2.1"},  // IPv4-mapped
		{"2001:db8::1", "twin", "2001:db8::1"},     // /128 before /64
		{"2001:db8::2", "by-name", "2001:db8::2"},  // within networks
		{"2001:0DB8::2", "by-name", "2001:db8::2"}, // other notation
		{"198.51.100.1", "", ""},                   // within networks, but of another family
		{"203.0.113.1", "", ""},                    // outside all targets
		{"fe80::1%eth0", "", ""},                   // zone
		{"2001:db8::1%eth0", "", ""},               // zone
		{"www.example.org", "", ""},                // an entry of hosts
		{"192.0.2.64/28", "", ""},                  // network
		{"", "", ""},
	}
	for _, c := range cases {
		got, ok := cfg.Find(c.request)
		if ok != (c.target != "") || ok && got.Target.Name != c.target {
			t.Errorf("Find(%q) = %v, %v, want target %q", c.request, got.Target, ok, c.target)
			continue
		}
		var want netip.Addr
		if c.addr != "" {
			want = netip.MustParseAddr(c.addr)
		}
		if got.Addr != want {
			t.Errorf("Find(%q).Addr = %v, want %v", c.request, got.Addr, want)
		}
	}
}

func TestTaskTarget(t *testing.T) {
	cfg := mustLoad(t, "full")
	s, _ := cfg.Find("strict-1.a_b")
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
	s, ok := cfg.Find("::ffff:192.0.2.3")
	if !ok {
		t.Fatal("Find did not find the address")
	}
	m, _ := s.Target.Module("tcp_full")
	task := s.Task(m)
	want := []scan.Host{{Entry: "192.0.2.0/28", Network: netip.MustParsePrefix("192.0.2.3/32")}}
	if diff := cmp.Diff(want, task.Hosts, cmpOptions()); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if spec := task.Plan.Spec(); !spec.AllPorts || spec.Source != netip.MustParseAddr("192.0.2.200") || spec.Expect == nil {
		t.Errorf("spec = %+v", spec)
	}
	req, refused, err := scan.NewRequest(task.Plan, task.Scope, []scan.Address{{IP: s.Addr}})
	if err != nil || len(refused) > 0 || len(req.Addresses()) != 1 {
		t.Errorf("NewRequest = %v, %v, %v, want one address", req.Addresses(), refused, err)
	}
}

func TestTaskUnlistedModule(t *testing.T) {
	cfg := mustLoad(t, "full")
	s, _ := cfg.Find("web")
	m, _ := cfg.Module("tcp_patient")
	task := s.Task(m)
	if _, _, err := scan.NewRequest(task.Plan, task.Scope, nil); err == nil {
		t.Error("NewRequest = nil error for a module that the target does not list")
	}
}

func TestTaskMissingExpectation(t *testing.T) {
	cfg := mustLoad(t, "full")
	for name, want := range map[string]scan.Expected{"bare": scan.ExpectAny, "silent": scan.ExpectClosed} {
		s, _ := cfg.Find(name)
		m, _ := s.Target.Module("")
		if got := s.Task(m).Plan.Expected(22); got != want {
			t.Errorf("target %s: Expected(22) = %v, want %v", name, got, want)
		}
	}
}

// TestFindExcluded finds addresses that a target excludes and a wider target contains.
func TestFindExcluded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	text := `
modules: {m: {ports: 1}}
targets:
  - {name: narrow, hosts: [192.0.2.0/28], exclude_hosts: [192.0.2.3], modules: [m], authorization: {owner: me}}
  - {name: wide, hosts: [www.example.org], networks: [192.0.2.0/24], exclude_hosts: [192.0.2.4], modules: [m], authorization: {owner: me}}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{
		"192.0.2.2": "narrow", "192.0.2.3": "", "::ffff:192.0.2.3": "",
		"192.0.2.4":   "narrow", // inside the more specific target
		"192.0.2.200": "wide",
	} {
		got := ""
		if s, ok := cfg.Find(addr); ok {
			got = s.Target.Name
		}
		if got != want {
			t.Errorf("Find(%s) = %q, want %q", addr, got, want)
		}
	}
}
