package bench

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"portscan_exporter/engine"
	"portscan_exporter/lab"
	"portscan_exporter/scan"
)

// packetGoal is how many packets a second of CPU time are to be sent.
const packetGoal = 300_000

// stretch is what the engine of half-open scans is measured at.
type stretch struct {
	name      string
	host      lab.Host
	addresses int
	cores     int
}

func stretches() (all []stretch) {
	open := map[string]lab.Answer{"22": lab.Accept} // what answers nothing at all is asked slowly
	answers, drops := lab.Host{Ports: open, Plain: true}, lab.Host{Ports: open, Default: lab.Drop}
	for _, cores := range []int{1, 2} {
		for _, addresses := range []int{1, 16} {
			all = append(all, stretch{"answers with a RST", answers, addresses, cores}, stretch{"drops", drops, addresses, cores})
		}
	}
	if *write == "" {
		return all[:1]
	}
	return all
}

// throughput measures how many packets the engine of half-open scans sends, with
// no ceiling, in this process.
func throughput(t *testing.T, out *strings.Builder) {
	t.Helper()
	fmt.Fprint(out, "\n## Packets a second of half-open scans, all 65,535 ports of each address, no ceiling\n\n")
	fmt.Fprintln(out, "| a host that | addresses | cores | runs | packets | wall clock | CPU | of it user | packets / s | packets / s of CPU |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	for _, s := range stretches() {
		t.Run(fmt.Sprintf("%s, %d addresses, %d cores", s.name, s.addresses, s.cores), func(t *testing.T) { s.measure(t, out) })
	}
	fmt.Fprintf(out, `
The goal is %d packets a second a core: the last column. The engine alone, with results kept and nothing written. A second of CPU time holds what the
target's kernel does with the packets, a RST for each where it answers; of the host that drops also what a packet filter takes for each. One
address that answers keeps all the way busy; one that drops is asked no faster than its pacing allows: a window that grows
twofold for as long as all is well, and at least 250 ms between two attempts at a port, which makes most of the wall clock. Of 16 addresses
each has a window of its own.
`, packetGoal)
}

func (s stretch) measure(t *testing.T, out *strings.Builder) {
	t.Helper()
	addr := target
	for range s.addresses {
		s.host.Addrs = append(s.host.Addrs, addr)
		addr = addr.Next()
	}
	host := lab.Start(t, s.host)[0]
	was := runtime.GOMAXPROCS(s.cores)
	defer runtime.GOMAXPROCS(was)
	var costs []cost
	var sent int64
	for range *runs {
		drops := lab.Watch(t, host)
		c, packets := s.scan(t)
		if why := drops.Grown(t); why != "" {
			t.Logf("void: %s", why)
			continue
		}
		if !c.whole || c.open != s.addresses {
			t.Errorf("whole %v, %d open of %d", c.whole, c.open, s.addresses)
		}
		costs, sent = append(costs, c), packets
	}
	if len(costs) == 0 {
		t.Fatal("every run was void")
	}
	m := medians(costs)
	fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %.3f s | %.3f s | %.3f s | %.0f | %.0f |\n", s.name, s.addresses, s.cores, len(costs), sent,
		m.wall.Seconds(), m.cpu().Seconds(), m.user.Seconds(), float64(sent)/m.wall.Seconds(), float64(sent)/m.cpu().Seconds())
}

// scan scans all of it once and returns how many packets that took.
func (s stretch) scan(t *testing.T) (c cost, packets int64) {
	t.Helper()
	const most = 1_000_000 // attempts in flight: as many as the budget has, which is as many as there are descriptors
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.NewSYN(budget)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	spec := defaults(t, "1-65535")
	spec.Method, spec.MaxInFlight = scan.SYN, most
	c = scanned(t, e, spec, s.host.Addrs...)
	return c, budget.Stats().TCPAttempts
}
