// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

const (
	randomTargets = 40
	randomPorts   = 60
	randomClients = 8
)

// randomHosts are targets whose open ports do not change, except for one port of each, which opens
// and closes.
type randomHosts struct{ firstPort int }

func (randomHosts) address(i int) string { return fmt.Sprintf("127.0.3.%d", i+1) }

func (h randomHosts) isOpen(i, port int) bool { return (port-h.firstPort+7*i)%20 == 0 }

func (h randomHosts) changingPort(i int) int { return h.firstPort + (13*i+1)%randomPorts }

// start opens the ports.
func (h randomHosts) start(t *testing.T) {
	t.Helper()
	for i := range randomTargets {
		for port := h.firstPort; port < h.firstPort+randomPorts; port++ {
			if h.isOpen(i, port) && port != h.changingPort(i) {
				listenOn(t, fmt.Sprintf("%s:%d", h.address(i), port))
			}
		}
	}
}

// change opens and closes the changing ports until the context ends.
func (h randomHosts) change(ctx context.Context, t *testing.T) {
	t.Helper()
	for ctx.Err() == nil {
		i := rand.IntN(randomTargets)
		closePort := listenOn(t, fmt.Sprintf("%s:%d", h.address(i), h.changingPort(i)))
		pause(ctx, time.Duration(rand.IntN(200))*time.Millisecond)
		closePort()
	}
}

// config returns a configuration in which each target has each kind of scan. A variant omits some
// targets and has another port limit.
func (h randomHosts) config(variant int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `limits: {max_scans: 6}
modules:
  quick: {ports: "%[1]d-%[2]d", report: all, max_ports: %[3]d}
  half: {ports: "%[1]d-%[2]d", method: syn}
  datagrams: {ports: "%[1]d-%[1]d", protocol: udp, timeout: 2s, port_timeout: 100ms}
  sweep: {ports: "%[1]d-%[2]d", max_age: 3s, rate: 40, timeout: 5s}
targets:
  - {name: free, networks: [127.0.3.0/24], modules: [quick, sweep], authorization: {owner: "the test"}}
  - {name: named, hosts: [localhost], networks: [127.0.0.0/8, "::1"], modules: [sweep], authorization: {owner: "the test"}}
`, h.firstPort, h.firstPort+randomPorts-1, 1000-variant)
	for i := range randomTargets - variant {
		fmt.Fprintf(&b, "  - name: t%d\n    hosts: [%s]\n    modules: [quick, half, datagrams, sweep]\n    authorization: {owner: \"the test\"}\n", i, h.address(i))
	}
	return b.String()
}

// check returns an error for a response with a wrong state.
func (h randomHosts) check(body string) (states int, err error) {
	m, err := readMetrics(body)
	if err != nil {
		return 0, err
	}
	for series, v := range m {
		if !strings.HasPrefix(series, "portscan_port_open{") || labelValue(series, "protocol") != "tcp" {
			continue
		}
		last, found := strings.CutPrefix(labelValue(series, "ip"), "127.0.3.")
		if !found {
			continue
		}
		i, _ := strconv.Atoi(last)
		port, _ := strconv.Atoi(labelValue(series, "port"))
		if open := i <= randomTargets && h.isOpen(i-1, port); port != h.changingPort(i-1) && open != (v == 1) {
			return states, fmt.Errorf("%s = %v, want open %v", series, v, open)
		}
		states++
	}
	return states, nil
}

// randomLoad sends random requests.
type randomLoad struct {
	hosts   randomHosts
	e       *exporter
	probes  atomic.Int64
	states  atomic.Int64
	refused atomic.Int64
	gone    atomic.Int64

	mu    sync.Mutex
	wrong []string
}

// run sends requests until the context ends.
func (l *randomLoad) run(ctx context.Context) {
	for ctx.Err() == nil {
		switch n := rand.IntN(100); {
		case n < 80:
			l.probe(ctx)
		case n < 88:
			l.expect(ctx, "/probe?"+pick("target=127.0.8.8", "target=127.0.9.9", "target=127.0.3.1%2500", "target=t0&module=none", "target=%1b%5b31m", "module=quick", "target=t0&target=t1"), 400, 403)
		case n < 98:
			l.expect(ctx, pick("/", "/target/t1", "/target/free", "/config", "/metrics", "/sd", "/logs?id="+strconv.Itoa(rand.IntN(500)), "/-/ready"), 200, 403, 404)
		default:
			l.reload(ctx)
		}
	}
}

func pick(choices ...string) string { return choices[rand.IntN(len(choices))] }

// probe probes a target or an address. The client may go before the answer.
func (l *randomLoad) probe(ctx context.Context) {
	i := rand.IntN(randomTargets + 10)
	query := url.Values{"target": {pick(fmt.Sprintf("t%d", i), l.hosts.address(i), l.hosts.address(i), "named")}}
	if rand.IntN(2) == 0 {
		query.Set("module", pick("quick", "half", "datagrams", "sweep"))
	}
	if rand.IntN(10) == 0 {
		query.Set("debug", "true")
	}
	if rand.IntN(5) == 0 {
		gone, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(300))*time.Millisecond)
		defer cancel()
		ctx = gone
	}
	timeout := strconv.FormatFloat(0.05+3*rand.Float64(), 'f', 3, 64)
	resp := l.send(ctx, http.MethodGet, "/probe?"+query.Encode(), timeout)
	l.probes.Add(1)
	switch resp.status {
	case 0:
		l.gone.Add(1)
	case 200:
		states, err := l.hosts.check(resp.body)
		if err != nil && !query.Has("debug") {
			l.failf("%s: %v", query.Encode(), err)
		}
		l.states.Add(int64(states))
	case 400, 403, 503:
		l.refused.Add(1)
	default:
		l.failf("%s: status %d: %s", query.Encode(), resp.status, resp.body)
	}
}

// expect sends a request whose status must be one of these.
func (l *randomLoad) expect(ctx context.Context, path string, statuses ...int) {
	if resp := l.send(ctx, http.MethodGet, path, "5"); resp.status != 0 && !slices.Contains(statuses, resp.status) {
		l.failf("%s: status %d, want one of %v: %s", path, resp.status, statuses, resp.body)
	}
}

// reload reloads another configuration by one of the two ways.
func (l *randomLoad) reload(ctx context.Context) {
	l.mu.Lock()
	text := l.hosts.config(rand.IntN(4))
	next := l.e.config + ".next"
	err := os.WriteFile(next, []byte(text), 0o600)
	if err == nil {
		err = os.Rename(next, l.e.config)
	}
	l.mu.Unlock()
	if err != nil {
		l.failf("replacing the configuration: %v", err)
		return
	}
	if rand.IntN(2) == 0 {
		_ = l.e.cmd.Process.Signal(syscall.SIGHUP)
	} else if resp := l.send(ctx, http.MethodPost, "/-/reload", "5"); resp.status != 0 && resp.status != 200 {
		l.failf("reload: status %d: %s", resp.status, resp.body)
	}
}

// send returns the response, with status 0 if the client has gone.
func (l *randomLoad) send(ctx context.Context, method, path, timeout string) response {
	req, err := http.NewRequestWithContext(ctx, method, l.e.url+path, http.NoBody)
	if err != nil {
		l.failf("%s: %v", path, err)
		return response{}
	}
	req.Header.Set(timeoutHeader, timeout)
	resp, err := send(client, req)
	if err != nil && ctx.Err() == nil {
		l.failf("%s: %v", path, err)
	}
	if err != nil {
		return response{}
	}
	return resp
}

// heapSize returns the size of all reachable objects in bytes. The resident memory is no measure:
// the race detector's own memory grows.
func (l *randomLoad) heapSize(ctx context.Context) float64 {
	l.expect(ctx, "/debug/pprof/heap?gc=1", 200)
	m, err := readMetrics(l.send(ctx, http.MethodGet, "/metrics", "5").body)
	if err != nil {
		l.failf("reading metrics: %v", err)
	}
	return m["go_memstats_heap_alloc_bytes"]
}

// checkHeap compares the heap after the load with that during the load.
func (l *randomLoad) checkHeap(t *testing.T, during float64) {
	t.Helper()
	after := l.heapSize(t.Context())
	t.Logf("heap %.1f MiB after a third of the load, %.1f MiB after the load", during/mib, after/mib)
	if during == 0 || after > 1.2*during+mib {
		t.Errorf("heap grew from %.1f MiB during the load to %.1f MiB after it", during/mib, after/mib)
	}
}

func (l *randomLoad) failf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, fmt.Sprintf(format, args...))
}

// randomLoadTime returns the length of the load, of which PORTSCAN_TEST_LOAD_TIME sets another
// one, such as 20m.
func randomLoadTime(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("PORTSCAN_TEST_LOAD_TIME")
	if text == "" {
		return 20 * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRandomLoad sends random requests, valid and invalid ones, while ports change and the
// configuration is reloaded. No state may be wrong, and the exporter must release its resources.
func TestRandomLoad(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		skip(t, "half-open scans need root")
	}
	length := randomLoadTime(t)
	hosts := randomHosts{firstPort: findFreeRange(t, randomPorts)}
	hosts.start(t)
	dir := t.TempDir()
	e := startExporter(t, hosts.config(0), "--state.file="+dir+"/state.json", "--audit.file="+dir+"/audit.log", "--web.enable-pprof")
	e.probe(t, "target=t0").wantValue(t, "probe_success", 1)
	idle := e.scrapeMetrics(t)

	load := &randomLoad{hosts: hosts, e: e}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	early := make(chan float64, 1)
	var all sync.WaitGroup
	all.Go(func() { hosts.change(ctx, t) })
	for range randomClients {
		all.Go(func() { load.run(ctx) })
	}
	all.Go(func() {
		pause(ctx, length/3)
		early <- load.heapSize(ctx)
	})
	all.Wait()
	t.Logf("%d probes in %v: %d refused, %d without client, %d states", load.probes.Load(), length, load.refused.Load(), load.gone.Load(), load.states.Load())
	t.Logf("before: %s", idle.resourceUsage())
	load.checkHeap(t, <-early)
	for i, wrong := range load.wrong {
		if i < 10 {
			t.Error(wrong)
		}
	}
	if len(load.wrong) > 10 {
		t.Errorf("%d failures in all", len(load.wrong))
	}
	if load.states.Load() == 0 || load.refused.Load() == 0 {
		t.Error("no states or no refusals, want both")
	}
	awaitIdle(t, e, idle)
	t.Logf("after: %s", e.scrapeMetrics(t).resourceUsage())
}
