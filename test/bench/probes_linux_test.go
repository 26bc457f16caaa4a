// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// silent is a host that drops all packets.
var silent = netip.MustParseAddr("192.0.2.11")

// measureProbes measures probes of few ports, with and without a concurrent scan of all
// ports of a silent host.
func (r *report) measureProbes(t *testing.T) {
	t.Helper()
	testnet.Start(t, testnet.Host{Addrs: []netip.Addr{target}, Plain: true}, testnet.Host{Addrs: []netip.Addr{silent}, Default: testnet.Drop})
	e := startExporter(t, target, "")
	rounds := 20
	if *write != "" {
		rounds = 200
	}
	out := &r.sections
	fmt.Fprintf(out, "\n## Probes of a host that answers with a RST, %d each\n\n", rounds)
	fmt.Fprintln(out, "| probe | median latency | CPU time per probe | CPU time per port | compared with | latency ratio |")
	fmt.Fprintln(out, "|---|---|---|---|---|---|")
	one := e.repeatProbes(t, "one", rounds)
	addProbe(out, "1 port", 1, one, 0, "")
	twenty := e.repeatProbes(t, "twenty", rounds)
	addProbe(out, "20 ports", 20, twenty, one.wall, "1 port")
	addProbe(out, "20 ports, syn", 20, e.repeatProbes(t, "twenty_syn", rounds), twenty.wall, "20 ports")
	thousand := e.repeatProbes(t, "thousand", rounds)
	addProbe(out, "1,000 ports", 1000, thousand, 0, "")
	addProbe(out, "1,000 ports, syn", 1000, e.repeatProbes(t, "thousand_syn", rounds), thousand.wall, "1,000 ports")
	concurrent := e.duringSilentScan(t, func() cost { return e.repeatProbes(t, "twenty", rounds) })
	concurrent.user, concurrent.system = 0, 0 // they include the other scan
	addProbe(out, "20 ports, during a scan of 65,535 silent ports", 20, concurrent, twenty.wall, "20 ports")
}

// addProbe writes a row. base is the latency to compare with, or 0.
func addProbe(out *strings.Builder, name string, ports int, c cost, base time.Duration, baseName string) {
	ratio, perProbe, perPort := "", "", ""
	if base > 0 {
		ratio = fmt.Sprintf("%.2f", float64(c.wall)/float64(base))
	}
	if c.cpu() > 0 {
		perProbe = fmt.Sprintf("%.2f ms", c.cpu().Seconds()*1e3)
		perPort = fmt.Sprintf("%.1f µs", c.cpu().Seconds()*1e6/float64(ports))
	}
	fmt.Fprintf(out, "| %s | %.2f ms | %s | %s | %s | %s |\n", name, c.wall.Seconds()*1e3, perProbe, perPort, baseName, ratio)
}

// repeatProbes probes with a module repeatedly. It returns the median of the latency and
// the mean of the CPU time.
func (e exporter) repeatProbes(t *testing.T, module string, times int) cost {
	t.Helper()
	var all []cost
	user, system := e.readCPU(t)
	for range times {
		c, err := e.probe("host", module)
		if err != nil || !c.complete {
			t.Fatalf("probe with module %s: got complete %v, error %v", module, c.complete, err)
		}
		all = append(all, c)
	}
	userAfter, systemAfter := e.readCPU(t)
	n := time.Duration(times)
	return cost{
		wall: median(all, func(c cost) time.Duration { return c.wall }), user: (userAfter - user) / n, system: (systemAfter - system) / n,
	}
}

// duringSilentScan measures a function while the silent host is scanned repeatedly.
func (e exporter) duringSilentScan(t *testing.T, f func() cost) cost {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			if _, err := e.probe("silent", "all"); err != nil {
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
