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

// TestLoadSustained is not parallel: others on the same processor would be in its times.
func TestLoadSustained(t *testing.T) {
	c := newLoadHosts(t)
	e := startPlainExporter(t, c.config(""))
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
	y := runLoad(t, c, e.url, loadClients, loadInterval, length)
	late := e.scrapeMetrics(t)
	y.wait()
	t.Logf("%v of load: %v", length, y)
	y.checkNoneWrong(t)
	if want := loadClients * int(length/(loadInterval/loadTargets)); y.complete != want {
		t.Errorf("%d of %d probes were answered in full", y.complete, want)
	}
	if p99 := percentile(y.responseTimes, 0.99); p99 >= time.Second {
		t.Errorf("p99 is %v, want less than 1s", p99)
	}
	late.wantValue(t, refusedByLimit, 0)
	t.Logf("before: %s", idle.resourceUsage())
	checkMemoryFlat(t, early, late)
	t.Logf("after: %s", late.resourceUsage())
	awaitIdle(t, e, idle)

	// As much as this machine can do, up to ten times as much, from as many more clients,
	// so that a few answers may come when nobody waits for them any more.
	const mostLate = 20 // one in so many
	times := loadFactor(idle, late, length)
	y = runLoad(t, c, e.url, times*loadClients, loadInterval, 3*loadInterval)
	over := time.Now()
	y.wait()
	t.Logf("%d times the load: %v", times, y)
	y.checkNoneWrong(t)
	checkRefusalsCounted(t, e, y)
	checkRecovery(t, c, e, over)
	if y.late > y.total()/mostLate {
		t.Errorf("%d of %d probes were not answered in time", y.late, y.total())
	}
	awaitIdle(t, e, idle)
}

// loadFactor returns how many times a load this machine's processors can bear, those of
// the clients included: two at the least, and ten at the most.
func loadFactor(before, after metrics, took time.Duration) int {
	const cpu, exporters = "process_cpu_seconds_total", 0.6 // of the processors; the rest is the clients'
	share := (after[cpu] - before[cpu]) / took.Seconds() / float64(runtime.NumCPU())
	return min(10, max(2, int(exporters/share)))
}

// TestLoadOverload has room for one scan at a time, so that it is the places that run
// short and not the processor: then nobody waits in vain for an answer. The race
// detector looks on.
func TestLoadOverload(t *testing.T) {
	c := newLoadHosts(t)
	e := startExporter(t, c.config("limits: {max_scans: 1}\n"))
	e.probe(t, "target=t0").wantValue(t, "probe_success", 1)
	idle := e.scrapeMetrics(t)
	y := runLoad(t, c, e.url, 4*loadClients, 2*time.Second, loadInterval)
	over := time.Now()
	y.wait()
	t.Logf("%v", y)
	y.checkNoneWrong(t)
	checkRefusalsCounted(t, e, y)
	checkRecovery(t, c, e, over)
	if y.refused == 0 || y.complete == 0 {
		t.Errorf("%d were refused and %d answered: the test does not test", y.refused, y.complete)
	}
	if y.late > 0 {
		t.Errorf("%d of %d probes were not answered in time", y.late, y.total())
	}
	awaitIdle(t, e, idle)
}

// checkRecovery looks, a scrape interval after a load was over, whether normal probes are
// answered at once and in full.
func checkRecovery(t *testing.T, c loadHosts, e *exporter, over time.Time) {
	t.Helper()
	const normal, atOnce = 20, time.Second
	time.Sleep(time.Until(over.Add(loadInterval)))
	longest := time.Duration(0)
	for i := range normal {
		sent := time.Now()
		body := getBody(t, e.url+"/probe?target="+c.targetName(i), timeoutHeader, "5")
		took := time.Since(sent)
		longest = max(longest, took)
		if complete, err := c.checkResponse(i, body); err != nil || !complete || took > atOnce {
			t.Errorf("%s: complete %v after %v: %v", c.targetName(i), complete, took, err)
		}
	}
	t.Logf("then %d normal probes took %v at the most, and it has %s", normal, longest.Round(time.Millisecond), e.scrapeMetrics(t).resourceUsage())
}

// checkRefusalsCounted compares with the exporter's own count. Of who was late it is
// not known what they would have been told.
func checkRefusalsCounted(t *testing.T, e *exporter, y *loadResult) {
	t.Helper()
	if n := int(e.scrapeMetrics(t)[refusedByLimit]); n < y.refused || n > y.refused+y.late {
		t.Errorf("%s is %d, and %d were refused, %d late", refusedByLimit, n, y.refused, y.late)
	}
}

func checkMemoryFlat(t *testing.T, early <-chan metrics, late metrics) {
	t.Helper()
	select {
	case m := <-early:
		const rss, growth = "process_resident_memory_bytes", 1.2
		t.Logf("after a third: %s", m.resourceUsage())
		if late[rss] > growth*m[rss] {
			t.Errorf("it had %.1f MiB after a third of the time and has %.1f at the end", m[rss]/mib, late[rss]/mib)
		}
	default:
		t.Error("its metrics could not be read during the load")
	}
}

// awaitIdle waits until what a load has taken is given back.
func awaitIdle(t *testing.T, e *exporter, idle metrics) {
	t.Helper()
	eventually(t, 10*time.Second, "goroutines and descriptors return", func() error {
		const slack = 3
		m := e.scrapeMetrics(t)
		for _, name := range []string{"go_goroutines", "process_open_fds", "portscan_exporter_scans_in_flight", "portscan_exporter_attempts_in_flight"} {
			if m[name] > idle[name]+slack {
				return fmt.Errorf("%s was %v and is %v", name, idle[name], m[name])
			}
		}
		return nil
	})
}

// fairConfig has two targets whose scans take a while at their rate, one that is
// quick, and few places.
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

// startFlood sends so many probes of the target that is flooded, each of another address
// so that none shares a scan, which go away when stop is called. They have all gone
// when it returns.
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

// TestAdmissionFairness has a crowd of probes wait for one target, and one for another. It
// is not parallel, as its times are what it is about.
func TestAdmissionFairness(t *testing.T) {
	const scanTakes, crowd = time.Second, 100
	e := startExporter(t, fairConfig(2, 50)) // 50 ports at 50 a second
	idle := e.scrapeMetrics(t)
	stop := startFlood(t, e, crowd)
	defer stop()
	eventually(t, 10*time.Second, "the crowd is there", func() error {
		m := e.scrapeMetrics(t)
		if more := m["process_open_fds"] - idle["process_open_fds"]; more < crowd || m["portscan_exporter_scans_in_flight"] != 2 {
			return fmt.Errorf("%v descriptors more, %v scans", more, m["portscan_exporter_scans_in_flight"])
		}
		return nil
	})

	// The first waits for one of the scans under way and takes its own time; so does
	// the next, which is the turn after the other one's. In one line with the crowd
	// they would wait for fifty times that.
	for range 2 {
		sent := time.Now()
		m := e.probe(t, "target=other", timeoutHeader, "10")
		t.Logf("one probe among %d of another target took %v", crowd, time.Since(sent).Round(time.Millisecond))
		m.wantValue(t, "probe_success", 1)
		if took := time.Since(sent); took > 4*scanTakes {
			t.Errorf("it took %v, want no more than the rest of a scan, a scan, and what a busy machine adds", took)
		}
	}
	stop()
	awaitIdle(t, e, idle)
}

// TestClientDisconnectFreesScan has the one place taken by a scan of 5 s, and its client hang up.
func TestClientDisconnectFreesScan(t *testing.T) {
	e := startExporter(t, fairConfig(1, 250))
	idle := e.scrapeMetrics(t)
	goAway := startFlood(t, e, 1)
	defer goAway()
	awaitScan(t, e)
	answered := make(chan probeOutcome, 1)
	go func() {
		a, err := request("GET", e.url+"/probe?target=other&module=quick", timeoutHeader, "10")
		answered <- probeOutcome{a, err, time.Now()}
	}()
	select {
	case r := <-answered:
		t.Fatalf("there was no place, and it was answered: %+v", r)
	case <-time.After(300 * time.Millisecond):
	}

	goAway()
	left := time.Now()
	r := <-answered
	if r.err != nil || r.status != http.StatusOK || !strings.Contains(r.body, "\nprobe_success 1\n") {
		t.Errorf("the one who waited got %d, %v: %s", r.status, r.err, r.body)
	}
	if took := r.time.Sub(left); took > time.Second {
		t.Errorf("it was answered %v after the other one had gone, want at once", took)
	}
	t.Logf("answered %v after the other one had gone", r.time.Sub(left).Round(time.Millisecond))
	awaitIdle(t, e, idle)
}
