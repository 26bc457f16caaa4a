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
	runs  = flag.Int("runs", 1, "how often each contender scans each host; the medians count")
	write = flag.String("write", "", "the file to write the tables to; without it a part of the comparison is run, once")
)

// bed is where contenders are measured.
type bed struct {
	exporter exporter
	host     *testnet.Running
	course   course
}

// contender is one way to scan.
type contender struct {
	name    string
	against string // the contender of the exporter's to set it beside; none for those themselves
	scan    func(*testing.T, bed) cost
}

// contenders are all of them, in the order of the tables.
func contenders() []contender {
	const connect, syn, udp = "exporter", "exporter, syn", "exporter, udp"
	return []contender{
		{connect, "", probed("")},
		{syn, "", probed("_syn")},
		{udp, "", probed("_udp")},
		{"nmap -sS", syn, nmap("-sS")},
		{"masscan", syn, masscan},
		{"nmap -sT", connect, nmap("-sT")},
		{"net.Dialer", connect, dialed},
		{"bare loop", connect, bare},
		{"nmap -sU", udp, nmap("-sU")},
		{"net.Dialer, udp", udp, dialedUDP},
	}
}

// probed is the exporter with one of its ways to scan, which the module's name ends
// with. Its answer has to be whole and right.
func probed(way string) func(*testing.T, bed) cost {
	return func(t *testing.T, b bed) cost {
		t.Helper()
		c := b.exporter.probe(t, b.course.module+way)
		if !c.whole || c.open != b.course.open || c.vague != b.course.vague {
			t.Errorf("the exporter, module %s: whole %v, %d open of %d, %d open_filtered of %d",
				b.course.module+way, c.whole, c.open, b.course.open, c.vague, b.course.vague)
		}
		if c.rss > mostMemory {
			t.Errorf("the exporter, module %s, took %.1f MiB, more than %d", b.course.module+way, c.rss, mostMemory)
		}
		return c
	}
}

// TestCompare scans the lab's hosts with the exporter and with the others. It
// fails where the exporter's answer is not whole and right; no time fails it.
func TestCompare(t *testing.T) {
	if !testnet.Isolated(t) {
		return
	}
	testnet.NeedProgram(t, "nmap", "masscan", "go")
	var tables strings.Builder
	for _, c := range courses() {
		if *write == "" && c.unasked {
			continue
		}
		t.Run(c.name, func(t *testing.T) { c.compare(t, &tables) })
	}
	t.Run("small probes", func(t *testing.T) { smallProbes(t, &tables) })
	t.Run("throughput", func(t *testing.T) { throughput(t, &tables) })
	t.Log("\n" + tables.String())
	if *write != "" && !t.Failed() {
		if err := os.WriteFile(*write, []byte(preface(t)+tables.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// compare has the contenders scan the host in turns, and writes their table.
func (c course) compare(t *testing.T, out *strings.Builder) {
	t.Helper()
	c.host.Addrs = []netip.Addr{target}
	host := testnet.Start(t, c.host)[0]
	b := bed{exporter: start(t, target, c.allow), host: host, course: c}
	idle := b.exporter.memory(t, "VmRSS")
	costs := map[string][]cost{}
	for range *runs {
		for _, one := range contenders() {
			if !c.wants(one.name) || slices.Contains(c.once, one.name) && len(costs[one.name]) > 0 {
				continue
			}
			// What this machine itself drops is nobody's fault, and nothing to measure.
			drops := testnet.Watch(t, host)
			cost := one.scan(t, b)
			if why := drops.Grown(t); why != "" && one.against == "" {
				t.Logf("%s, void: %s", one.name, why)
				continue
			}
			costs[one.name] = append(costs[one.name], cost)
		}
	}
	for _, name := range c.rows {
		if c.wants(name) && len(costs[name]) == 0 {
			t.Fatalf("every run of %s was void", name)
		}
	}
	table(out, c, costs, idle, b.exporter.memory(t, "VmRSS"))
}

// wants tells whether a contender takes part: the short form has none that take long.
func (c course) wants(name string) bool {
	return slices.Contains(c.rows, name) && (*write != "" || !slices.Contains(c.tooLong, name))
}
