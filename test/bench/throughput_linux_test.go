package bench

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// packetGoal is how many packets a second of CPU time are to be sent.
const packetGoal = 300_000

// stretch is what the engine of half-open scans is measured at.
type stretch struct {
	name      string
	host      testnet.Host
	addresses int
	cores     int
}

func stretches() (all []stretch) {
	open := map[string]testnet.Answer{"22": testnet.Accept} // what answers nothing at all is asked slowly
	answers, drops := testnet.Host{Ports: open, Plain: true}, testnet.Host{Ports: open, Default: testnet.Drop}
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
The goal is %d packets a second of CPU time, the last column: what one core can send. The engine alone, with results kept and nothing written. The
CPU time holds what the target's kernel does with the packets: a RST for each where it answers, and a packet filter's work where it
drops. A host that answers keeps a core busy all the time. One that drops does not: its pacing lets the window grow step by step, and waits at
least 250 ms between two attempts at a port, so that there the packets a second of the wall clock say little of what could be sent. How many
packets it takes varies from run to run, so that these figures are means.
`, packetGoal)
}

func (s stretch) measure(t *testing.T, out *strings.Builder) {
	t.Helper()
	addr := target
	for range s.addresses {
		s.host.Addrs = append(s.host.Addrs, addr)
		addr = addr.Next()
	}
	host := testnet.Start(t, s.host)[0]
	was := runtime.GOMAXPROCS(s.cores)
	defer runtime.GOMAXPROCS(was)
	var all cost // of all runs together: how many packets a scan takes varies
	var sent, times int64
	for range *runs {
		drops := testnet.Watch(t, host)
		c, packets := s.scan(t)
		if why := drops.Grown(t); why != "" {
			t.Logf("void: %s", why)
			continue
		}
		if !c.whole || c.open != s.addresses {
			t.Errorf("whole %v, %d open of %d", c.whole, c.open, s.addresses)
		}
		all.wall, all.user, all.system = all.wall+c.wall, all.user+c.user, all.system+c.system
		sent, times = sent+packets, times+1
	}
	if times == 0 {
		t.Fatal("every run was void")
	}
	each := func(d time.Duration) float64 { return d.Seconds() / float64(times) }
	fmt.Fprintf(out, "| %s | %d | %d | %d | %d | %.3f s | %.3f s | %.3f s | %.0f | %.0f |\n", s.name, s.addresses, s.cores, times, sent/times,
		each(all.wall), each(all.cpu()), each(all.user), float64(sent)/all.wall.Seconds(), float64(sent)/all.cpu().Seconds())
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
