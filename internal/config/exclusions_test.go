// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"testing"
	"time"
)

// TestScopeOtherExclusions has overlapping targets: an exclusion of the most specific
// one applies to all less specific ones.
func TestScopeOtherExclusions(t *testing.T) {
	file := t.TempDir() + "/config.yml"
	writeFile(t, file, `modules: {tcp: {ports: 22}}
targets:
  - {name: wide, hosts: [www.example.org, 192.0.2.0/28], networks: [192.0.2.0/24, "2001:db8::/32"], modules: [tcp], authorization: {owner: x}}
  - {name: narrow, hosts: [192.0.2.2/31, "2001:db8:1::/120"], exclude_hosts: [192.0.2.3, 192.0.2.200, "2001:db8:1::7"], modules: [tcp], authorization: {owner: x}}
  - {name: exact, hosts: [192.0.2.3], modules: [tcp], authorization: {owner: x}}
  - {name: twin, hosts: [192.0.2.2/31], modules: [tcp], authorization: {owner: x}}
`)
	cfg, _, err := Load(file, testTime())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		target, addr string
		want         bool
	}{
		{"wide", "192.0.2.1", true},
		{"wide", "192.0.2.2", true},
		{"wide", "192.0.2.3", false},
		{"wide", "192.0.2.200", true}, // not inside narrow
		{"wide", "2001:db8:1::6", true},
		{"wide", "2001:db8:1::7", false},
		{"narrow", "192.0.2.2", true},
		{"narrow", "192.0.2.3", false},
		{"exact", "192.0.2.3", true},
		{"twin", "192.0.2.3", true}, // as specific as narrow
	} {
		for _, target := range cfg.Targets() {
			addr := netip.MustParseAddr(tc.addr)
			if target.Name != tc.target {
				continue
			}
			if _, ok := target.Scope.Match(addr); ok != tc.want {
				t.Errorf("%s: Match(%s) = %v, want %v", tc.target, tc.addr, ok, tc.want)
			}
			if got := target.Scope.Excluded(addr); got == tc.want {
				t.Errorf("%s: Excluded(%s) = %v, want %v", tc.target, tc.addr, got, !tc.want)
			}
		}
	}
}

// TestLoadManyExclusions loads 2,000 targets with an exclusion and 2,000 less specific ones. With
// a list for each scope, that takes minutes; a linear load takes less than a second.
func TestLoadManyExclusions(t *testing.T) {
	data, started := []byte(exclusionShapes()["many wide"](4_000)), time.Now()
	cfg, _, err := newLoader(newReader(), "config.yml", testTime()).load(data)
	if took := time.Since(started); err != nil || took > 2*time.Minute {
		t.Fatalf("load() = %v after %v, want less than two minutes", err, took)
	}
	for _, last := range []int{0, 3_998} {
		wide, narrow := cfg.targets[last].Scope, cfg.targets[last+1].Scope
		excluded, next := benchAddr((last+1)*256+9), benchAddr((last+1)*256+10)
		if !wide.Excluded(excluded) || !narrow.Excluded(excluded) || wide.Excluded(next) {
			t.Errorf("Excluded(%v) = %v, %v, Excluded(%v) = %v, want true, true, false", excluded, wide.Excluded(excluded), narrow.Excluded(excluded), next, wide.Excluded(next))
		}
	}
}
