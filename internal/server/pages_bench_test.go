// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
)

// BenchmarkPages renders pages for 1000 scanned targets of 1024 ports, a few of them
// violating, and for a target of 256 addresses with all ports.
func BenchmarkPages(b *testing.B) {
	var text strings.Builder
	text.WriteString(`
modules: {few: {ports: "1-1024"}, all: {ports: "1-65535", timeout: 60s}}
targets:
  - {name: net, hosts: [198.51.100.0/24], modules: [all], authorization: {owner: me}, expect: {tcp: {open: "22"}}}
`)
	for i := range 1000 {
		fmt.Fprintf(&text, `  - {name: host-%d, hosts: [10.0.%d.%d], modules: [few], authorization: {owner: "team %d", reference: CHG-%d, expires: 2099-01-01}, expect: {tcp: {open: "22,443"}}}
`, i, i/250, 1+i%250, i%7, i)
	}
	s := newScenario(b, text.String(), nil, func(o *server.Options) { o.HistoryLimit = 100 })
	cfg, _, err := config.Load(s.file, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	for i, target := range cfg.Targets() {
		addr := target.Hosts[0].Network.Addr().String()
		s.setState(scan.Open, addr+":22", addr+":443")
		if i%20 == 0 {
			s.setState(scan.Open, addr+":8", addr+":80", "198.51.100.7:31337")
		}
		if w := s.get(b, "/probe?target="+target.Name); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
	s.measure(b, "/", "/target/host-0", "/target/net")
}

// BenchmarkWidePages renders pages for 172 targets of 256 addresses, so that port
// states are evicted. A few addresses are violating.
func BenchmarkWidePages(b *testing.B) {
	const targets = 172
	var text strings.Builder
	text.WriteString("modules: {few: {ports: \"1-100\"}}\ntargets:\n")
	for i := range targets {
		fmt.Fprintf(&text, "  - {name: net-%[1]d, hosts: [10.%[1]d.0.0/24, 10.%[1]d.1.1, 10.%[1]d.1.2], modules: [few], authorization: {owner: me}, expect: {tcp: {open: \"22\"}}}\n", i)
	}
	s := newScenario(b, text.String(), nil, nil)
	s.setState(scan.Open, "10.7.0.9:23")
	for i := range targets {
		if w := s.get(b, fmt.Sprintf("/probe?target=net-%d", i)); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
	s.measure(b, "/", "/target/net-7")
}

// measure benchmarks pages.
func (s *scenario) measure(b *testing.B, paths ...string) {
	b.Helper()
	for _, path := range paths {
		b.Run("path="+path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.SetBytes(int64(len(s.getPage(b, path))))
			}
		})
	}
}
