// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math/bits"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkLoad loads a configuration of 20,000 targets with two modules each.
func BenchmarkLoad(b *testing.B) {
	file := writeManyTargets(b, 20_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := Load(file, testTime()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkEncode encodes the configuration that BenchmarkLoad loads.
func BenchmarkEncode(b *testing.B) {
	cfg, _, err := Load(writeManyTargets(b, 20_000), testTime())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cfg.encode(); err != nil {
			b.Fatal(err)
		}
	}
}

// writeManyTargets writes a configuration of n targets with two modules each and
// returns its file.
func writeManyTargets(tb testing.TB, n int) string {
	tb.Helper()
	var text strings.Builder
	text.WriteString("modules: {tcp: {ports: 1-1024}, udp: {protocol: udp, ports: \"53,123,161\"}}\ntargets:\n")
	for i := range n {
		fmt.Fprintf(&text, `  - name: host-%[1]d
    hosts: [10.%[2]d.%[3]d.%[4]d]
    exclude_hosts: [10.255.255.255]
    modules: [tcp, udp]
    authorization: {owner: "net team", reference: "CHG-%[1]d", expires: 2027-06-30}
    expect: {tcp: {open: "22,443", allow: "8000-8010"}}
    labels: {env: prod, rack: "r%[3]d"}
`, i, i>>16&255, i>>8&255, i&255)
	}
	file := filepath.Join(tb.TempDir(), "config.yml")
	writeFile(tb, file, text.String())
	return file
}

// exclusionShapes returns configurations with n targets or n entries, by shape.
func exclusionShapes() map[string]func(n int) string {
	return map[string]func(n int) string{
		"disjoint": func(n int) string { // n targets, each with an exclusion
			return shapeConfig(n, func(i int) string {
				return fmt.Sprintf("hosts: [%s/24], exclude_hosts: [%s]", benchAddr(i*256), benchAddr(i*256+9))
			})
		},
		"nested": func(n int) string { // a binary tree of n networks, each with an exclusion
			return shapeConfig(n, func(i int) string {
				depth := bits.Len(uint(i+1)) - 1
				size := 1 << (24 - depth)
				first := (i + 1 - 1<<depth) * size
				return fmt.Sprintf("networks: [%s/%d], exclude_hosts: [%s]", benchAddr(first), 8+depth, benchAddr(first+i%size))
			})
		},
		"wide": func(n int) string { // n targets inside one with n exclusions
			return shapeConfig(n, func(i int) string {
				return fmt.Sprintf("hosts: [%s]", benchAddr(i*4+1))
			}) + shapeTarget("wide", fmt.Sprintf("networks: [10.0.0.0/8], exclude_hosts: [%s]", addrList(n, 2)))
		},
		"many wide": func(n int) string { // n/2 targets with an exclusion inside n/2 others
			return shapeConfig(n, func(i int) string {
				if i%2 == 0 {
					return "hosts: [www.example.org], networks: [10.0.0.0/8]"
				}
				return fmt.Sprintf("hosts: [%s/24], exclude_hosts: [%s]", benchAddr(i*256), benchAddr(i*256+9))
			})
		},
		"embedding": func(n int) string { // the same, with NAT64 networks
			return shapeConfig(n, func(i int) string {
				if i%2 == 0 {
					return `hosts: [www.example.org], networks: ["64:ff9b::/96"]`
				}
				return fmt.Sprintf("hosts: [%s/24], exclude_hosts: [%s]", benchAddr(i*256), benchAddr(i*256+9))
			})
		},
		"hosts": func(n int) string { // one target with n hosts and n exclusions
			return shapeConfig(0, nil) + shapeTarget("all", fmt.Sprintf("hosts: [%s], exclude_hosts: [%s]", addrList(n, 1), addrList(n, 2)))
		},
	}
}

func shapeConfig(n int, target func(i int) string) string {
	var b strings.Builder
	b.WriteString("modules: {tcp: {ports: 22, max_addresses: 100000}}\ntargets:\n")
	for i := range n {
		b.WriteString(shapeTarget(fmt.Sprintf("t%d", i), target(i)))
	}
	return b.String()
}

func shapeTarget(name, keys string) string {
	return fmt.Sprintf("- {name: %s, modules: [tcp], authorization: {owner: me}, %s}\n", name, keys)
}

// benchAddr returns an address in 10.0.0.0/8.
func benchAddr(offset int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(offset >> 16), byte(offset >> 8), byte(offset)})
}

// addrList returns n addresses, every fourth one, as a list in YAML.
func addrList(n, first int) string {
	all := make([]string, 0, n)
	for i := range n {
		all = append(all, benchAddr(i*4+first).String())
	}
	return strings.Join(all, ",")
}

// BenchmarkLoadExclusions loads configurations with exclusions. The time is linear in their size.
func BenchmarkLoadExclusions(b *testing.B) {
	for shape, text := range exclusionShapes() {
		for _, n := range []int{2_500, 10_000, 40_000} {
			b.Run(fmt.Sprintf("%s/%d", shape, n), func(b *testing.B) {
				data := []byte(text(n))
				b.ReportAllocs()
				for b.Loop() {
					if _, _, err := newLoader(newReader(), "config.yml", testTime()).load(data); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkFind looks up targets by name and by address.
func BenchmarkFind(b *testing.B) {
	for _, n := range []int{10_000, 40_000} {
		cfg, _, err := newLoader(newReader(), "config.yml", testTime()).load([]byte(exclusionShapes()["disjoint"](n)))
		if err != nil {
			b.Fatal(err)
		}
		for name, asked := range map[string]string{"name": fmt.Sprintf("t%d", n-1), "address": benchAddr(n*256 - 250).String()} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				for b.Loop() {
					if _, ok := cfg.Find(asked); !ok {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}
