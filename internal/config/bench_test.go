// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
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
