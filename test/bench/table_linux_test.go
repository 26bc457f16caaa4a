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

func median[T cmp.Ordered](costs []cost, of func(cost) T) T {
	values := make([]T, 0, len(costs))
	for _, c := range costs {
		values = append(values, of(c))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// medians is the cost of which each figure is the median of all.
func medians(all []cost) cost {
	return cost{
		wall: median(all, func(c cost) time.Duration { return c.wall }),
		user: median(all, func(c cost) time.Duration { return c.user }),
		// So that the sum is the median of the sums.
		system: median(all, cost.cpu) - median(all, func(c cost) time.Duration { return c.user }),
		rss:    median(all, func(c cost) float64 { return c.rss }),
		kernel: median(all, func(c cost) float64 { return c.kernel }),
		open:   median(all, func(c cost) int { return c.open }),
		vague:  median(all, func(c cost) int { return c.vague }),
		whole:  all[0].whole,
	}
}

// table writes what the contenders took. The last columns set each of the others
// beside the way of the exporter's that does the same.
func table(out *strings.Builder, c course, costs map[string][]cost, idle, after float64) {
	fmt.Fprintf(out, "\n## A host that %s\n\n", c.name)
	fmt.Fprintln(out, "| | runs | wall clock | CPU | of it user | peak memory | kernel's | open ports found | beside it | wall, that / this | CPU, that / this |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|---|")
	for _, one := range contenders() {
		all := costs[one.name]
		if len(all) == 0 {
			continue
		}
		m := medians(all)
		fmt.Fprintf(out, "| %s | %d | %.3f s | %.3f s | %.3f s | %s | %s |\n", one.name, len(all),
			m.wall.Seconds(), m.cpu().Seconds(), m.user.Seconds(), strings.Join(state(c, one, m), " | "), beside(one, m, costs))
	}
	c.goal.judge(out, costs)
	fmt.Fprintf(out, "\nThe exporter's resident memory: %.1f MiB before, %.1f MiB after all of it.\n", idle, after)
}

// state is what a contender held in memory and what it found.
func state(c course, one contender, m cost) []string {
	memory, kernel := "(this process)", ""
	if m.rss > 0 {
		memory = fmt.Sprintf("%.1f MiB", m.rss)
	}
	if one.against == "" {
		kernel = fmt.Sprintf("%.0f MiB", m.kernel)
	}
	found := fmt.Sprintf("%d of %d", m.open, c.open)
	if m.vague != c.vague {
		found += fmt.Sprintf("; WRONG: %d open_filtered, which are %d", m.vague, c.vague)
	}
	if !m.whole {
		found = "given up"
	}
	return []string{memory, kernel, found}
}

// beside is the exporter's cost as a share of another contender's.
func beside(one contender, m cost, costs map[string][]cost) string {
	if len(costs[one.against]) == 0 {
		return " | | "
	}
	ours := medians(costs[one.against])
	return strings.Join([]string{one.against, share(ours.wall, m.wall), share(ours.cpu(), m.cpu())}, " | ")
}

// share is empty where there is too little to measure.
func share(ours, theirs time.Duration) string {
	if ours <= 0 || theirs <= 0 {
		return ""
	}
	return fmt.Sprintf("%.2f", float64(ours)/float64(theirs))
}

// judge writes whether the goal was reached.
func (g goal) judge(out *strings.Builder, costs map[string][]cost) {
	verdict := func(reached bool) string {
		if reached {
			return "reached"
		}
		return "MISSED"
	}
	if len(costs[g.of]) == 0 {
		return
	}
	ours := medians(costs[g.of])
	if g.within > 0 {
		fmt.Fprintf(out, "\nGoal of %q: whole in %v: %s.\n", g.of, g.within, verdict(ours.wall <= g.within))
	}
	if len(costs[g.beside]) == 0 {
		return
	}
	theirs := medians(costs[g.beside])
	fmt.Fprintf(out, "\nGoals of %q: the wall clock at most half of that of %q: %s; the CPU time less: %s.\n", g.of, g.beside,
		verdict(2*ours.wall <= theirs.wall), verdict(ours.cpu() < theirs.cpu()))
}

func preface(t *testing.T) string {
	t.Helper()
	var kernel unix.Utsname
	if err := unix.Uname(&kernel); err != nil {
		t.Fatal(err)
	}
	cpu := "an unnamed processor"
	info, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(info)) {
		if name, ok := strings.CutPrefix(line, "model name"); ok {
			cpu = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(name), ":"))
			break
		}
	}
	return fmt.Sprintf(`# Benchmarks

Written by `+"`make bench`"+`: every contender scans the same host in one run, medians of %d, one where a scan takes minutes. The host is a
network namespace behind a veth pair, on the same machine, so that its kernel's work is in everybody's CPU time. Absolute figures
move from machine to machine; what counts is the ratio: below 1 the exporter takes less. Half-open scans are set beside half-open
scans, connections beside connections.

- "exporter" connects, "exporter, syn" is `+"`method: syn`"+`, "exporter, udp" `+"`protocol: udp`"+`. They are asked through /probe, with a module's
  defaults: name lookup, scan and answer are all in it. CPU time is counted in ticks of 10 ms. More than %d MiB would fail the run.
- The kernel's memory is how much the whole machine's grew by at the peak: what is allocated in slabs, where sockets live, and what sockets have
  queued.
- nmap has its defaults, and is given up after %v. Where a target says only so often that a UDP port is closed, it calls some
  closed ports "open|filtered": it is quick at the price of being wrong.
- masscan sends each SYN once, at 200,000 a second at the most, keeps nothing in mind and tries nothing again, so that it says neither which
  ports are closed nor which are filtered; what is lost stays lost, and where hosts answer every packet it overlooks some. It waits a
  second for the last answers (`+"`--wait 1`"+`); with its start and its end that makes about 2 to 3 s for however little.
- "net.Dialer" is the exporter's portable engine alone, "bare loop" a loop over the kernel that keeps its sockets, on one thread: the floor of
  connecting.

Machine: %d cores, %s, Linux %s, %s.
`, *runs, mostMemory, patience, runtime.NumCPU(), cpu, unix.ByteSliceToString(kernel.Release[:]), runtime.Version())
}
