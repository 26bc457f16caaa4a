// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// goalResult is a row of the table of goals.
type goalResult struct {
	mode, host, goal, measured string
	reached                    bool
}

func median[T cmp.Ordered](costs []cost, value func(cost) T) T {
	values := make([]T, 0, len(costs))
	for _, c := range costs {
		values = append(values, value(c))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// medians returns a cost with the median of each figure.
func medians(all []cost) cost {
	user := median(all, func(c cost) time.Duration { return c.user })
	return cost{
		wall:         median(all, func(c cost) time.Duration { return c.wall }),
		user:         user,
		system:       median(all, cost.cpu) - user, // the sum is the median of the sums
		rss:          median(all, func(c cost) float64 { return c.rss }),
		kernel:       median(all, func(c cost) float64 { return c.kernel }),
		open:         median(all, func(c cost) int { return c.open }),
		openFiltered: median(all, func(c cost) int { return c.openFiltered }),
		complete:     all[0].complete,
	}
}

// addScenario adds the table of a scenario. Its last columns compare each tool with the
// exporter in the same mode.
func (r *report) addScenario(s scenario, costs map[string][]cost, idle, after float64) {
	out := &r.sections
	fmt.Fprintf(out, "\n## A host that %s\n\n", s.name)
	fmt.Fprintln(out, "| tool | runs | wall clock | CPU time | user time | peak memory | kernel memory | open ports found | compared with | wall ratio | CPU ratio |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, one := range allTools() {
		all := costs[one.name]
		if len(all) == 0 {
			continue
		}
		m := medians(all)
		fmt.Fprintf(out, "| %s | %d | %.3f s | %.3f s | %.3f s | %s | %s |\n", one.name, len(all),
			m.wall.Seconds(), m.cpu().Seconds(), m.user.Seconds(), strings.Join(formatResult(s, one, m), " | "), formatRatios(one, m, costs))
	}
	fmt.Fprintf(out, "\nThe exporter's resident memory was %.1f MiB before these scans and %.1f MiB after them.\n", idle, after)
	r.goals = append(r.goals, s.goalResults(costs)...)
}

// formatResult returns the columns for memory and open ports.
func formatResult(s scenario, one tool, m cost) []string {
	memory, kernel := "(this process)", ""
	if m.rss > 0 {
		memory = fmt.Sprintf("%.1f MiB", m.rss)
	}
	if one.mode == "" {
		kernel = fmt.Sprintf("%.0f MiB", m.kernel)
	}
	found := fmt.Sprintf("%d of %d", m.open, s.open)
	if m.openFiltered != s.openFiltered {
		found += fmt.Sprintf(", WRONG: %d open_filtered instead of %d", m.openFiltered, s.openFiltered)
	}
	if !m.complete {
		found = "time limit exceeded"
	}
	return []string{memory, kernel, found}
}

// formatRatios returns the columns for the exporter's cost divided by the tool's cost.
func formatRatios(one tool, m cost, costs map[string][]cost) string {
	if len(costs[one.mode]) == 0 {
		return " | | "
	}
	ours := medians(costs[one.mode])
	return strings.Join([]string{one.mode, formatRatio(ours.wall, m.wall), formatRatio(ours.cpu(), m.cpu())}, " | ")
}

// formatRatio returns "" if a duration is too short to measure.
func formatRatio(ours, theirs time.Duration) string {
	if ours <= 0 || theirs <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(ours)/float64(theirs))
}

// goalResults compares the costs with the scenario's goal.
func (s scenario) goalResults(costs map[string][]cost) (all []goalResult) {
	g := s.goal
	if len(costs[g.mode]) == 0 {
		return nil
	}
	ours := medians(costs[g.mode])
	if g.within > 0 {
		all = append(all, goalResult{g.mode, s.name, fmt.Sprintf("complete in %v", g.within), fmt.Sprintf("%.3f s", ours.wall.Seconds()), ours.wall <= g.within})
	}
	if len(costs[g.tool]) == 0 {
		return all
	}
	theirs := medians(costs[g.tool])
	return append(all,
		goalResult{g.mode, s.name, "wall ratio of at most 0.50 to " + g.tool, formatRatio(ours.wall, theirs.wall), 2*ours.wall <= theirs.wall},
		goalResult{g.mode, s.name, "CPU ratio below 1.00 to " + g.tool, formatRatio(ours.cpu(), theirs.cpu()), ours.cpu() < theirs.cpu()})
}

// document returns docs/benchmarks.md.
func (r *report) document(t *testing.T) string {
	t.Helper()
	var out strings.Builder
	fmt.Fprintf(&out, preface, describeMachine(t), *runs, maxMemory, toolTimeout)
	fmt.Fprint(&out, "\n## Goals\n\n| mode | a host that | goal | measured | result |\n|---|---|---|---|---|\n")
	for _, g := range r.goals {
		result := "missed"
		if g.reached {
			result = "reached"
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s |\n", g.mode, g.host, g.goal, g.measured, result)
	}
	return out.String() + r.sections.String()
}

func describeMachine(t *testing.T) string {
	t.Helper()
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		t.Fatal(err)
	}
	cpu := "unknown processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			cpu = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
			break
		}
	}
	return fmt.Sprintf("%d cores, %s, Linux %s, %s", runtime.NumCPU(), cpu, unix.ByteSliceToString(kernel.Release[:]), runtime.Version())
}

const preface = `# Benchmarks

Generated by ` + "`make bench`" + `; do not edit.

Machine: %s.

## Method

All tools scan the same host in turn. The host is a network namespace on the same machine, behind a
veth pair, so CPU times include the work of the host's kernel. Figures are medians of %d runs; tools
that take minutes run once. Absolute times vary between machines. Compare the ratios: the exporter's
cost divided by the tool's cost. Below 1, the exporter needs less.

- **exporter** uses ` + "`method: connect`" + `, **exporter, syn** ` + "`method: syn`" + `, and **exporter, udp**
  ` + "`protocol: udp`" + `, each with the defaults of a module. Times include name resolution and the answer
  of ` + "`/probe`" + `. CPU time is counted in ticks of 10 ms. A run that needs more than %d MiB fails.
- **kernel memory** is the peak growth of slabs and socket queues of the complete machine.
- **nmap** uses its defaults and is stopped after %v. If a host rate-limits ICMP errors, nmap reports
  some closed UDP ports as ` + "`open|filtered`" + `.
- **masscan** sends one SYN per port, at most 200,000 per second, and reports only open ports. It waits
  1 s for the last answers (` + "`--wait 1`" + `); startup and exit take 1 s to 2 s more.
- **net.Dialer** is the portable engine of the exporter.
- **bare loop** is the lower bound for connecting: a loop of system calls on one thread that reuses its
  sockets.
`

// TestReportDocument verifies that measuredCPU reads the generated document.
func TestReportDocument(t *testing.T) {
	t.Parallel()
	s := scenarios()[0]
	costs := map[string][]cost{}
	for i, name := range s.rows {
		costs[name] = []cost{{wall: time.Duration(i+1) * time.Second, user: time.Second, open: s.open, complete: true}}
	}
	var r report
	r.addScenario(s, costs, 15, 20)
	text := r.document(t)
	if got := measuredCPU(t, text, scaleFigure{host: s.name, mode: "exporter, syn"}); got != 1 {
		t.Errorf("measuredCPU(generated document) = %v, want 1", got)
	}
	if row := "| " + s.goal.mode + " | " + s.name + " | wall ratio of at most 0.50 to nmap -sS | 0.50 | reached |\n"; !strings.Contains(text, row) {
		t.Errorf("document() lacks the goal %q:\n%s", row, text)
	}
}
