package bench

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/testnet"
)

// silent is a host that drops everything.
var silent = netip.MustParseAddr("192.0.2.11")

// smallProbes measures probes of few ports, each many times over, alone and
// beside a scan of every port of a silent host.
func smallProbes(t *testing.T, out *strings.Builder) {
	t.Helper()
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target}, Plain: true}, testnet.Host{Addrs: []netip.Addr{silent}, Default: testnet.Drop})
	e := start(t, target, "")
	rounds := 20
	if *write != "" {
		rounds = 200
	}
	fmt.Fprintf(out, "\n## Probes of a host that answers with a RST, %d of each\n\n", rounds)
	fmt.Fprintln(out, "| | latency, median | CPU a probe | CPU a port | latency, ratio |")
	fmt.Fprintln(out, "|---|---|---|---|---|")
	line := func(name string, ports int, c cost, to time.Duration, of string) {
		ratio, cpu, each := "", "", ""
		if to > 0 {
			ratio = fmt.Sprintf("%.2f of %s", float64(c.wall)/float64(to), of)
		}
		if c.cpu() > 0 {
			cpu = fmt.Sprintf("%.2f ms", c.cpu().Seconds()*1e3)
			each = fmt.Sprintf("%.1f us", c.cpu().Seconds()*1e6/float64(ports))
		}
		fmt.Fprintf(out, "| %s | %.2f ms | %s | %s | %s |\n", name, c.wall.Seconds()*1e3, cpu, each, ratio)
	}
	one := e.many(t, "one", rounds)
	line("1 port", 1, one, 0, "")
	twenty := e.many(t, "twenty", rounds)
	line("20 ports", 20, twenty, one.wall, "1 port's")
	line("20 ports, syn", 20, e.many(t, "twenty_syn", rounds), twenty.wall, "20 ports' by connecting")
	thousand := e.many(t, "thousand", rounds)
	line("1,000 ports", 1000, thousand, 0, "")
	line("1,000 ports, syn", 1000, e.many(t, "thousand_syn", rounds), thousand.wall, "1,000 ports' by connecting")
	beside := e.beside(t, func() cost { return e.many(t, "twenty", rounds) })
	beside.user, beside.system = 0, 0 // they are the other scan's too
	line("20 ports, beside a scan of 65,535 silent ones", 20, beside, twenty.wall, "20 ports' alone")
}

// many asks for a module many times, and returns the median of the latency and
// the mean of the CPU time.
func (e exporter) many(t *testing.T, module string, times int) cost {
	t.Helper()
	var all []cost
	user, system := e.cpu(t)
	for range times {
		c, err := e.ask("host", module)
		if err != nil || !c.whole {
			t.Fatalf("whole %v, %v", c.whole, err)
		}
		all = append(all, c)
	}
	u, s := e.cpu(t)
	n := time.Duration(times)
	return cost{
		wall: median(all, func(c cost) time.Duration { return c.wall }), user: (u - user) / n, system: (s - system) / n,
	}
}

// beside measures something while the silent host is scanned over and over.
func (e exporter) beside(t *testing.T, f func() cost) cost {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			if _, err := e.ask("silent", "all"); err != nil {
				t.Error(err)
				return
			}
		}
	})
	time.Sleep(time.Second)
	c := f()
	cancel()
	all.Wait()
	return c
}
