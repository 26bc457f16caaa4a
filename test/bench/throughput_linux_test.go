// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/testnet"
)

// packetGoal is the goal for packets per second of CPU time.
const packetGoal = 300_000

// throughputCase is a load for the half-open engine.
type throughputCase struct {
	name      string
	host      testnet.Host
	addresses int
	cores     int
}

func throughputCases() (all []throughputCase) {
	open := map[string]testnet.Answer{"22": testnet.Accept} // a host without any answer is scanned slowly
	answers, drops := testnet.Host{Ports: open, Plain: true}, testnet.Host{Ports: open, Default: testnet.Drop}
	for _, cores := range []int{1, 2} {
		for _, addresses := range []int{1, 16} {
			all = append(all, throughputCase{"answers with a RST", answers, addresses, cores}, throughputCase{"drops", drops, addresses, cores})
		}
	}
	if *write == "" {
		return all[:1]
	}
	return all
}

// measureThroughput measures the packets per second of the half-open engine without a
// rate limit, in this process.
func (r *report) measureThroughput(t *testing.T) {
	t.Helper()
	out := &r.sections
	fmt.Fprint(out, "\n## Packets per second of half-open scans, all 65,535 ports of each address\n\n")
	fmt.Fprintln(out, "| a host that | addresses | cores | runs | packets | wall clock | CPU time | user time | packets per second | packets per second of CPU time |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|---|---|---|---|")
	for _, c := range throughputCases() {
		t.Run(fmt.Sprintf("%s, %d addresses, %d cores", c.name, c.addresses, c.cores), func(t *testing.T) { c.measure(t, r) })
	}
	fmt.Fprint(out, `
Figures are means, because the number of packets varies between runs. Only the engine runs, without a
rate limit. CPU time includes the kernel of the host: a RST per packet if it answers, the packet filter
if it drops. A host that answers keeps one core busy. A host that drops does not: the congestion window
grows gradually, and at least 250 ms pass between two attempts at a port.
`)
}

func (c throughputCase) measure(t *testing.T, r *report) {
	t.Helper()
	addr := target
	for range c.addresses {
		c.host.Addrs = append(c.host.Addrs, addr)
		addr = addr.Next()
	}
	host := testnet.Start(t, c.host)[0]
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.cores))
	var total cost
	var sent, times int64
	for range *runs {
		drops := testnet.WatchDrops(t, host)
		one, packets := c.scan(t)
		if why := drops.Increase(t); why != "" {
			t.Logf("run discarded: %s", why)
			continue
		}
		if !one.complete || one.open != c.addresses {
			t.Errorf("got complete %v, %d open, want %d open", one.complete, one.open, c.addresses)
		}
		total.wall, total.user, total.system = total.wall+one.wall, total.user+one.user, total.system+one.system
		sent, times = sent+packets, times+1
	}
	if times == 0 {
		t.Fatal("every run was discarded")
	}
	mean := func(d time.Duration) float64 { return d.Seconds() / float64(times) }
	perCPU := float64(sent) / total.cpu().Seconds()
	fmt.Fprintf(&r.sections, "| %s | %d | %d | %d | %d | %.3f s | %.3f s | %.3f s | %.0f | %.0f |\n", c.name, c.addresses, c.cores, times, sent/times,
		mean(total.wall), mean(total.cpu()), mean(total.user), float64(sent)/total.wall.Seconds(), perCPU)
	if c.cores == 1 {
		r.goals = append(r.goals, goalResult{
			"exporter, syn", fmt.Sprintf("%s, addresses: %d", c.name, c.addresses),
			fmt.Sprintf("%d packets per second of one core", packetGoal), fmt.Sprintf("%.0f", perCPU), perCPU >= packetGoal,
		})
	}
}

// scan scans all addresses once and returns the number of packets.
func (c throughputCase) scan(t *testing.T) (result cost, packets int64) {
	t.Helper()
	const maxInFlight = 1_000_000 // above the budget, which depends on the descriptors
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.NewSYN(budget)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	spec := defaultSpec(t, "1-65535")
	spec.Method, spec.MaxInFlight = scan.SYN, maxInFlight
	result = measureScan(t, e, spec, c.host.Addrs...)
	return result, budget.Stats().TCPAttempts
}
