// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"flag"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"portscan_exporter/internal/testnet"
)

var (
	runs  = flag.Int("runs", 1, "Runs of each tool per host. The report contains medians.")
	write = flag.String("write", "", "Output file. If empty, a short comparison runs.")
)

// report collects the sections of docs/benchmarks.md.
type report struct {
	goals    []goalResult
	sections strings.Builder
}

// testbed is the exporter and the host that the tools scan.
type testbed struct {
	exporter exporter
	host     *testnet.RunningHost
	scenario scenario
}

// tool is a scanner to measure.
type tool struct {
	name   string
	mode   string // mode of the exporter to compare with; empty for the exporter
	runner func(*testing.T, testbed) cost
}

// allTools returns the tools in the order of the tables.
func allTools() []tool {
	const connect, syn, udp = "exporter", "exporter, syn", "exporter, udp"
	return []tool{
		{connect, "", runExporter("")},
		{syn, "", runExporter("_syn")},
		{udp, "", runExporter("_udp")},
		{"nmap -sS", syn, runNmap("-sS")},
		{"masscan", syn, runMasscan},
		{"nmap -sT", connect, runNmap("-sT")},
		{"net.Dialer", connect, runDialer},
		{"bare loop", connect, runBareLoop},
		{"nmap -sU", udp, runNmap("-sU")},
		{"net.Dialer, udp", udp, runUDPDialer},
	}
}

// runExporter returns a runner for the modules with this suffix. Incomplete and wrong
// results fail the test.
func runExporter(suffix string) func(*testing.T, testbed) cost {
	return func(t *testing.T, b testbed) cost {
		t.Helper()
		module := b.scenario.module + suffix
		c := b.exporter.measureProbe(t, module)
		if !c.complete || c.open != b.scenario.open || c.openFiltered != b.scenario.openFiltered {
			t.Errorf("module %s: got complete %v, %d open, %d open_filtered, want %d open, %d open_filtered",
				module, c.complete, c.open, c.openFiltered, b.scenario.open, b.scenario.openFiltered)
		}
		if c.rss > maxMemory {
			t.Errorf("module %s: got %.1f MiB peak memory, want at most %d", module, c.rss, maxMemory)
		}
		return c
	}
}

// TestCompare scans each host with the exporter and the other tools. It fails if a
// result of the exporter is incomplete or wrong, regardless of the time.
func TestCompare(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "nmap", "masscan", "go")
	var r report
	for _, s := range scenarios() {
		if *write == "" && s.reportOnly {
			continue
		}
		t.Run(s.name, func(t *testing.T) { s.compare(t, &r) })
	}
	t.Run("probes", func(t *testing.T) { r.measureProbes(t) })
	t.Run("throughput", func(t *testing.T) { r.measureThroughput(t) })
	t.Log("\n" + r.sections.String())
	if *write != "" && !t.Failed() {
		if err := os.WriteFile(*write, []byte(r.document(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compare runs the tools in turn and adds their table to the report.
func (s scenario) compare(t *testing.T, r *report) {
	t.Helper()
	s.host.Addrs = []netip.Addr{target}
	host := testnet.Start(t, s.host)[0]
	b := testbed{exporter: startExporter(t, target, s.allow), host: host, scenario: s}
	idle := b.exporter.readMemory(t, "VmRSS")
	costs := map[string][]cost{}
	for range *runs {
		for _, one := range allTools() {
			if !s.includes(one.name) || slices.Contains(s.once, one.name) && len(costs[one.name]) > 0 {
				continue
			}
			// Packets that this machine itself dropped make a run of the exporter invalid.
			drops := testnet.WatchDrops(t, host)
			c := one.runner(t, b)
			if why := drops.Increase(t); why != "" && one.mode == "" {
				t.Logf("%s: run discarded: %s", one.name, why)
				continue
			}
			costs[one.name] = append(costs[one.name], c)
		}
	}
	for _, name := range s.rows {
		if s.includes(name) && len(costs[name]) == 0 {
			t.Fatalf("%s: every run was discarded", name)
		}
	}
	r.addScenario(s, costs, idle, b.exporter.readMemory(t, "VmRSS"))
}

// includes reports whether a tool takes part. The short comparison has no slow tools.
func (s scenario) includes(name string) bool {
	return slices.Contains(s.rows, name) && (*write != "" || !slices.Contains(s.slow, name))
}
