package bench

import (
	"cmp"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/lab"
)

var (
	runs  = flag.Int("runs", 1, "how often each contender scans each host; the medians count")
	write = flag.String("write", "", "the file to write the tables to; without it a part of the comparison is run, once")
)

var target = netip.MustParseAddr("192.0.2.10")

// mostMemory is how many MiB the exporter may take in any scan of one address.
const mostMemory = 48

// course is one host, and what is scanned of it.
type course struct {
	name    string
	host    lab.Host
	allow   string
	module  string // of the exporter
	ports   string // for the others
	open    int
	against []string
	runs    int // of the others, at the most: nmap takes minutes for some
	always  bool
}

func courses() []course {
	const five = "22,80,443,8080,50000"
	open := map[string]lab.Answer{five: lab.Accept}
	return []course{
		{
			name: "answers with a RST, 5 ports open, all 65,535 ports", host: lab.Host{Ports: open, Plain: true}, allow: five,
			module: "all", ports: "1-65535", open: 5, against: []string{"nmap -sT", "net.Dialer", "bare loop"}, runs: 5, always: true,
		},
		{
			name: "drops, 5 ports open, all 65,535 ports", host: lab.Host{Default: lab.Drop, Ports: open}, allow: five,
			module: "all", ports: "1-65535", open: 5, against: []string{"nmap -sT"}, runs: 1,
		},
		{
			name: "rejects with ICMP, 5 ports open, all 65,535 ports", host: lab.Host{Default: lab.RejectPort, Ports: open}, allow: five,
			module: "all", ports: "1-65535", open: 5, runs: 5,
		},
		{
			name: "is dark, all 65,535 ports", host: lab.Host{Default: lab.Drop}, allow: "", module: "all", ports: "1-65535", runs: 5,
		},
		{
			name: "loses 10 % each way, 4 ports open, 10,000 ports", host: lab.Host{LossIn: .1, LossOut: .1, Ports: open}, allow: "22,80",
			module: "ten", ports: "1-10000", open: 4, against: []string{"nmap -sT"}, runs: 1,
		},
		{
			name: "answers with a RST, 1,000 ports", host: lab.Host{Ports: open, Plain: true}, allow: five, module: "thousand", ports: "1-1000",
			open: 3, against: []string{"nmap -sT", "net.Dialer"}, runs: 5, always: true,
		},
	}
}

// TestCompare scans the lab's hosts with the exporter and with the others. It
// fails where the exporter's answer is not whole and right; no time fails it.
func TestCompare(t *testing.T) {
	if !lab.Isolated(t) {
		return
	}
	lab.NeedProgram(t, "nmap", "go")
	others := map[string]func(*testing.T, netip.Addr, string) cost{"nmap -sT": nmap, "net.Dialer": dialed, "bare loop": bare}
	var tables strings.Builder
	for _, c := range courses() {
		if *write == "" && !c.always {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			c.host.Addrs = []netip.Addr{target}
			lab.Start(t, c.host)
			e := start(t, target, c.allow)
			idle := e.memory(t, "VmRSS")
			costs := map[string][]cost{}
			for i := range *runs {
				drops := lab.Watch(t)
				ours := e.probe(t, c.module)
				if why := drops.Grown(t); why != "" {
					t.Logf("void: %s", why)
					continue
				}
				if !ours.whole || ours.open != c.open {
					t.Errorf("the exporter: whole %v, %d open of %d", ours.whole, ours.open, c.open)
				}
				if ours.rss > mostMemory {
					t.Errorf("the exporter took %.1f MiB, more than %d", ours.rss, mostMemory)
				}
				costs["exporter"] = append(costs["exporter"], ours)
				for _, name := range c.against {
					if i < c.runs {
						costs[name] = append(costs[name], others[name](t, target, c.ports))
					}
				}
			}
			if len(costs["exporter"]) == 0 {
				t.Fatal("every run was void")
			}
			table(&tables, c, costs, idle, e.memory(t, "VmRSS"))
		})
	}
	t.Run("small probes", func(t *testing.T) { smallProbes(t, &tables) })
	t.Log("\n" + tables.String())
	if *write != "" && !t.Failed() {
		if err := os.WriteFile(*write, []byte(preface(t)+tables.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func median[T cmp.Ordered](costs []cost, of func(cost) T) T {
	values := make([]T, 0, len(costs))
	for _, c := range costs {
		values = append(values, of(c))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func table(out *strings.Builder, c course, costs map[string][]cost, idle, after float64) {
	fmt.Fprintf(out, "\n## A host that %s\n\n", c.name)
	fmt.Fprintln(out, "| | runs | wall clock | CPU | of it user | peak memory | open ports found | wall, exporter / this | CPU, exporter / this |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|")
	wall := func(c cost) time.Duration { return c.wall }
	ours := costs["exporter"]
	for _, name := range append([]string{"exporter"}, c.against...) {
		all := costs[name]
		memory := "(this process)"
		if rss := median(all, func(c cost) float64 { return c.rss }); rss > 0 {
			memory = fmt.Sprintf("%.1f MiB", rss)
		}
		found := fmt.Sprintf("%d of %d", median(all, func(c cost) int { return c.open }), c.open)
		if !all[0].whole {
			found = "given up"
		}
		ratio := func(a, b time.Duration) string {
			if name == "exporter" || b == 0 {
				return ""
			}
			return fmt.Sprintf("%.2f", float64(a)/float64(b))
		}
		fmt.Fprintf(out, "| %s | %d | %.3f s | %.3f s | %.3f s | %s | %s | %s | %s |\n", name, len(all),
			median(all, wall).Seconds(), median(all, cost.cpu).Seconds(), median(all, func(c cost) time.Duration { return c.user }).Seconds(),
			memory, found, ratio(median(ours, wall), median(all, wall)), ratio(median(ours, cost.cpu), median(all, cost.cpu)))
	}
	fmt.Fprintf(out, "\nThe exporter's resident memory: %.1f MiB before, %.1f MiB after. The kernel's memory grew by %.0f MiB at the peak.\n",
		idle, after, median(ours, func(c cost) float64 { return c.kernel }))
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

Written by `+"`make bench`"+`: every contender scans the same host in one run, medians of %d, fewer where nmap takes minutes. The host is a network
namespace behind a veth pair, on the same machine, so that its kernel's work is in everybody's CPU time. Absolute figures move
from machine to machine; what counts is the ratio. The exporter is asked through /probe, with a module's defaults: name lookup,
scan and answer are all in it. Its CPU time is counted in ticks of 10 ms. The kernel's memory is the whole machine's: what is
allocated in slabs, where sockets live, and what sockets have queued. "net.Dialer" is the exporter's portable engine alone,
"bare loop" a loop over the kernel that keeps its sockets, on one thread: the floor. nmap is given up after %v.

Machine: %d cores, %s, Linux %s, %s.
`, *runs, nmapPatience, runtime.NumCPU(), cpu, unix.ByteSliceToString(kernel.Release[:]), runtime.Version())
}
