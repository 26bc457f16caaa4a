package bench

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// figure is what docs/scaling.md reckons with: what a row of a table of docs/benchmarks.md takes.
type figure struct {
	host, way string
	micros    float64 // of CPU time a port
	perSecond float64 // ports a second a core
}

// TestScaleIsMeasured holds what docs/scaling.md reckons with to what docs/benchmarks.md has
// measured: no better, and not far from it.
func TestScaleIsMeasured(t *testing.T) {
	t.Parallel()
	const ports, second = 65_535, 1e6
	measured := document(t, "docs/benchmarks.md")
	reckoned := figures(t, document(t, "docs/scaling.md"))
	if len(reckoned) == 0 {
		t.Fatal("docs/scaling.md reckons with nothing")
	}
	for _, f := range reckoned {
		cpu := measuredCPU(t, measured, f) * second / ports
		if f.micros < cpu || f.micros > 2*cpu {
			t.Errorf("a host that %s, %s: docs/scaling.md reckons with %v us a port, and it takes %.1f: reckon anew", f.host, f.way, f.micros, cpu)
		}
		if most := second / f.micros; f.perSecond > most || f.perSecond < 0.9*most {
			t.Errorf("a host that %s, %s: %v us a port are %.0f ports a second, and docs/scaling.md says %.0f", f.host, f.way, f.micros, most, f.perSecond)
		}
	}
}

func document(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// figures reads the table of docs/scaling.md whose third column is in microseconds.
func figures(t *testing.T, text string) (all []figure) {
	t.Helper()
	for line := range strings.Lines(text) {
		c := cells(line)
		if len(c) != 4 || !strings.HasSuffix(c[2], " µs") {
			continue
		}
		all = append(all, figure{c[0], c[1], number(t, strings.TrimSuffix(c[2], " µs")), number(t, c[3])})
	}
	return all
}

// measuredCPU returns the seconds that a row of docs/benchmarks.md took.
func measuredCPU(t *testing.T, text string, f figure) float64 {
	t.Helper()
	const cpuColumn = 3
	_, section, ok := strings.Cut(text, "\n## A host that "+f.host+"\n")
	if !ok {
		t.Fatalf("docs/benchmarks.md has no host that %s", f.host)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	for line := range strings.Lines(section) {
		if c := cells(line); len(c) > cpuColumn && c[0] == f.way {
			return number(t, strings.TrimSuffix(c[cpuColumn], " s"))
		}
	}
	t.Fatalf("docs/benchmarks.md has no %s for a host that %s", f.way, f.host)
	return 0
}

// cells are those of a row of a table.
func cells(line string) (all []string) {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") {
		return nil
	}
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		all = append(all, strings.TrimSpace(cell))
	}
	return all
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(strings.ReplaceAll(text, ",", ""), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
