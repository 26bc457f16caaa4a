// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLoadSustained is not parallel, because other tests would affect its times.
func TestLoadSustained(t *testing.T) {
	hosts := newLoadHosts(t)
	e := startPlainExporter(t, hosts.config(""))
	e.probe(t, "target=t0").wantValue(t, "probe_success", 1)
	idle := e.scrapeMetrics(t)

	length := loadDuration()
	early := make(chan metrics, 1)
	third := time.AfterFunc(length/3, func() {
		a, err := request("GET", e.url+"/metrics")
		if m, bad := readMetrics(a.body); err == nil && bad == nil {
			early <- m
		}
	})
	defer third.Stop()
	result := runLoad(t, hosts, e.url, loadClients, loadInterval, length)
	late := e.scrapeMetrics(t)
	result.wait()
	t.Logf("load for %v: %v", length, result)
	result.checkNoneWrong(t)
	if want := loadClients * int(length/(loadInterval/loadTargets)); result.complete != want {
		t.Errorf("got %d complete probes, want %d", result.complete, want)
	}
	if p99 := percentile(result.responseTimes, 0.99); p99 >= time.Second {
		t.Errorf("p99 = %v, want less than 1s", p99)
	}
	late.wantValue(t, refusedByLimit, 0)
	t.Logf("before: %s", idle.resourceUsage())
	checkMemoryFlat(t, early, late)
	t.Logf("after: %s", late.resourceUsage())
	awaitIdle(t, e, idle)

	// Apply as much load as this machine can bear. With that many clients a few responses may be
	// late.
	const mostLate = 20 // at most one in 20
	times := loadFactor(idle, late, length)
	result = runLoad(t, hosts, e.url, times*loadClients, loadInterval, 3*loadInterval)
	over := time.Now()
	result.wait()
	t.Logf("load times %d: %v", times, result)
	result.checkNoneWrong(t)
	checkRefusalsCounted(t, e, result)
	checkRecovery(t, hosts, e, over)
	if result.late > result.total()/mostLate {
		t.Errorf("%d of %d probes were late", result.late, result.total())
	}
	awaitIdle(t, e, idle)
}

// loadFactor returns by how much the load can be multiplied on this machine, including the load of
// the clients. It is between 2 and 10.
func loadFactor(before, after metrics, took time.Duration) int {
	const cpu, exporters = "process_cpu_seconds_total", 0.6 // exporters is the exporter's share of the processors; the clients take the rest
	share := (after[cpu] - before[cpu]) / took.Seconds() / float64(runtime.NumCPU())
	return min(10, max(2, int(exporters/share)))
}

// TestLoadOverload allows one scan at a time, so that places for scans are scarce and not processor
// time. Then no response may be late.
func TestLoadOverload(t *testing.T) {
	hosts := newLoadHosts(t)
	e := startExporter(t, hosts.config("limits: {max_scans: 1}\n"))
	e.probe(t, "target=t0").wantValue(t, "probe_success", 1)
	idle := e.scrapeMetrics(t)
	result := runLoad(t, hosts, e.url, 4*loadClients, 2*time.Second, loadInterval)
	over := time.Now()
	result.wait()
	t.Logf("%v", result)
	result.checkNoneWrong(t)
	checkRefusalsCounted(t, e, result)
	checkRecovery(t, hosts, e, over)
	if result.refused == 0 || result.complete == 0 {
		t.Errorf("got %d refused and %d complete probes, want both above 0", result.refused, result.complete)
	}
	if result.late > 0 {
		t.Errorf("%d of %d probes were late", result.late, result.total())
	}
	awaitIdle(t, e, idle)
}

// checkRecovery checks that probes are complete and fast one scrape interval after a load.
func checkRecovery(t *testing.T, hosts loadHosts, e *exporter, over time.Time) {
	t.Helper()
	const normal, atOnce = 20, time.Second
	time.Sleep(time.Until(over.Add(loadInterval)))
	longest := time.Duration(0)
	for i := range normal {
		sent := time.Now()
		body := getBody(t, e.url+"/probe?target="+hosts.targetName(i), timeoutHeader, "5")
		took := time.Since(sent)
		longest = max(longest, took)
		if complete, err := hosts.checkResponse(i, body); err != nil || !complete || took > atOnce {
			t.Errorf("%s: complete %v after %v: %v", hosts.targetName(i), complete, took, err)
		}
	}
	t.Logf("%d probes after the load took at most %v; %s", normal, longest.Round(time.Millisecond), e.scrapeMetrics(t).resourceUsage())
}

// checkRefusalsCounted compares the number of refusals with the exporter's metric, which may
// include late responses.
func checkRefusalsCounted(t *testing.T, e *exporter, result *loadResult) {
	t.Helper()
	if n := int(e.scrapeMetrics(t)[refusedByLimit]); n < result.refused || n > result.refused+result.late {
		t.Errorf("%s = %d, want at least %d refused and at most %d late in addition", refusedByLimit, n, result.refused, result.late)
	}
}

func checkMemoryFlat(t *testing.T, early <-chan metrics, late metrics) {
	t.Helper()
	select {
	case m := <-early:
		const rss, growth = "process_resident_memory_bytes", 1.2
		t.Logf("after a third of the load: %s", m.resourceUsage())
		if late[rss] > growth*m[rss] {
			t.Errorf("RSS grew from %.1f MiB after a third of the load to %.1f MiB at its end", m[rss]/mib, late[rss]/mib)
		}
	default:
		t.Error("metrics could not be scraped during the load")
	}
}

// awaitIdle waits until the exporter has released the resources of a load.
func awaitIdle(t *testing.T, e *exporter, idle metrics) {
	t.Helper()
	eventually(t, 10*time.Second, "goroutines and descriptors are released", func() error {
		const slack = 3
		m := e.scrapeMetrics(t)
		for _, name := range []string{"go_goroutines", "process_open_fds", "portscan_exporter_scans_in_flight", "portscan_exporter_attempts_in_flight"} {
			if m[name] > idle[name]+slack {
				return fmt.Errorf("%s was %v, now %v", name, idle[name], m[name])
			}
		}
		return nil
	})
}

// fairConfig limits the number of scans. The module slow takes as many seconds as its ports divided
// by 50.
func fairConfig(places, ports int) string {
	return fmt.Sprintf(`limits: {max_scans: %d}
modules:
  slow: {ports: "1-%d", rate: 50, timeout: 1m}
  quick: {ports: "1-10"}
targets:
  - name: flooded
    hosts: [127.0.91.0/24]
    modules: [slow]
    authorization: {owner: "the test"}
  - name: other
    hosts: [127.0.0.92]
    modules: [slow, quick]
    authorization: {owner: "the test"}
`, places, ports)
}

// startFlood probes different addresses of the target flooded, so that no scan is shared. The
// returned function cancels the probes and waits for them.
func startFlood(t *testing.T, e *exporter, probes int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range probes {
		all.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("%s/probe?target=127.0.91.%d", e.url, 1+i), nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set(timeoutHeader, "60")
			resp, err := client.Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// TestAdmissionFairness sends many probes of one target and then one of another. It is not
// parallel, because it measures times.
func TestAdmissionFairness(t *testing.T) {
	const scanTakes, probes = time.Second, 100
	e := startExporter(t, fairConfig(2, 50)) // 1 s each: 50 ports at 50 a second
	idle := e.scrapeMetrics(t)
	stop := startFlood(t, e, probes)
	defer stop()
	eventually(t, 10*time.Second, "the flood has started", func() error {
		m := e.scrapeMetrics(t)
		if more := m["process_open_fds"] - idle["process_open_fds"]; more < probes || m["portscan_exporter_scans_in_flight"] != 2 {
			return fmt.Errorf("got %v more descriptors and %v scans", more, m["portscan_exporter_scans_in_flight"])
		}
		return nil
	})

	// Scans are admitted by target in turn. A probe of another target waits for a running scan and,
	// the second time, for one more. In a first-come queue it would wait for 50 scans.
	for range 2 {
		sent := time.Now()
		m := e.probe(t, "target=other", timeoutHeader, "10")
		t.Logf("a probe of another target during a flood of %d took %v", probes, time.Since(sent).Round(time.Millisecond))
		m.wantValue(t, "probe_success", 1)
		if took := time.Since(sent); took > 4*scanTakes {
			t.Errorf("probe took %v, want at most four times a scan", took)
		}
	}
	stop()
	awaitIdle(t, e, idle)
}

// TestClientDisconnectFreesScan closes the connection of the only running scan, which takes 5 s.
func TestClientDisconnectFreesScan(t *testing.T) {
	e := startExporter(t, fairConfig(1, 250))
	idle := e.scrapeMetrics(t)
	disconnect := startFlood(t, e, 1)
	defer disconnect()
	awaitScan(t, e)
	answered := make(chan probeOutcome, 1)
	go func() {
		a, err := request("GET", e.url+"/probe?target=other&module=quick", timeoutHeader, "10")
		answered <- probeOutcome{a, err, time.Now()}
	}()
	select {
	case r := <-answered:
		t.Fatalf("probe was answered while another scan took the only place: %+v", r)
	case <-time.After(300 * time.Millisecond):
	}

	disconnect()
	disconnected := time.Now()
	r := <-answered
	if r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, "\nprobe_success 1\n") {
		t.Errorf("waiting probe got %d, %v, want 200: %s", r.status, r.err, r.body)
	}
	if took := r.time.Sub(disconnected); took > time.Second {
		t.Errorf("waiting probe was answered %v after the disconnect, want at most 1s", took)
	}
	t.Logf("waiting probe was answered %v after the disconnect", r.time.Sub(disconnected).Round(time.Millisecond))
	awaitIdle(t, e, idle)
}
