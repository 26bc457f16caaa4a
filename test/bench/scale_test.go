// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// scaleFigure is a row of the sizing table in docs/scaling.md.
type scaleFigure struct {
	host, mode string
	micros     float64 // CPU time per port
	perSecond  float64 // ports per second and core
}

// benchmarkedHosts returns the scenario of docs/benchmarks.md for each host behavior.
func benchmarkedHosts() map[string]string {
	return map[string]string{
		"RST":         "answers with a RST, 5 ports open, all 65,535 ports",
		"Drop":        "drops, 5 ports open (3 of them allowed), all 65,535 ports",
		"ICMP reject": "rejects with ICMP, 5 ports open, all 65,535 ports",
		"No response": "is dark, all 65,535 ports",
	}
}

// benchmarkedMethods returns the row of docs/benchmarks.md for each method.
func benchmarkedMethods() map[string]string {
	return map[string]string{"connect": "exporter", "syn": "exporter, syn"}
}

// TestScalingFigures compares the figures of docs/scaling.md with docs/benchmarks.md:
// they must not be better, nor more than twice as high.
func TestScalingFigures(t *testing.T) {
	t.Parallel()
	const ports, second = 65_535, 1e6
	measured := readDocument(t, "docs/benchmarks.md")
	figures := parseFigures(t, readDocument(t, "docs/scaling.md"))
	if want := len(benchmarkedHosts()) * len(benchmarkedMethods()); len(figures) != want {
		t.Fatalf("docs/scaling.md has %d rows with CPU time in µs, want %d", len(figures), want)
	}
	for _, f := range figures {
		cpu := measuredCPU(t, measured, f) * second / ports
		if f.micros < cpu || f.micros > 2*cpu {
			t.Errorf("docs/scaling.md, a host that %s, %s: got %v µs per port, want between %.1f and %.1f", f.host, f.mode, f.micros, cpu, 2*cpu)
		}
		if most := second / f.micros; f.perSecond > most || f.perSecond < 0.9*most {
			t.Errorf("docs/scaling.md, a host that %s, %s: got %.0f ports per second, want %.0f for %v µs per port", f.host, f.mode, f.perSecond, most, f.micros)
		}
	}
}

func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// parseFigures returns the rows of docs/scaling.md whose third column is in microseconds.
func parseFigures(t *testing.T, text string) (all []scaleFigure) {
	t.Helper()
	for line := range strings.Lines(text) {
		c := splitRow(line)
		if len(c) != 4 || !strings.HasSuffix(c[2], " µs") {
			continue
		}
		host, mode := benchmarkedHosts()[c[0]], benchmarkedMethods()[c[1]]
		if host == "" || mode == "" {
			t.Fatalf("docs/scaling.md: no benchmark for the host behavior %q and the method %q", c[0], c[1])
		}
		all = append(all, scaleFigure{host, mode, parseNumber(t, strings.TrimSuffix(c[2], " µs")), parseNumber(t, c[3])})
	}
	return all
}

// measuredCPU returns the CPU time of a row of docs/benchmarks.md, in seconds.
func measuredCPU(t *testing.T, text string, f scaleFigure) float64 {
	t.Helper()
	const cpuColumn = 3
	_, section, ok := strings.Cut(text, "\n## A host that "+f.host+"\n")
	if !ok {
		t.Fatalf("docs/benchmarks.md has no section \"A host that %s\"", f.host)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if c := splitRow(line); len(c) > cpuColumn && c[0] == f.mode {
			return parseNumber(t, strings.TrimSuffix(c[cpuColumn], " s"))
		}
	}
	t.Fatalf("docs/benchmarks.md has no row %q for a host that %s", f.mode, f.host)
	return 0
}

// splitRow returns the cells of a table row.
func splitRow(line string) (all []string) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		all = append(all, strings.TrimSpace(cell))
	}
	return all
}

func parseNumber(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
