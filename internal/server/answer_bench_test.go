// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
)

const wideConfig = `
modules:
  notable: {ports: "1-65535", timeout: 30m, max_age: 1h, max_ports: 1000}
  all: {ports: "1-65535", timeout: 30m, max_age: 1h, max_ports: 1000, report: all}
targets:
  - name: net
    hosts: [198.51.100.0/24, 203.0.113.1, 203.0.113.2]
    modules: [notable, all]
    authorization: {owner: me}
    expect: {tcp: {open: "22", allow: "80"}}
`

// wideScanner finds three ports of each address open, and all others closed.
type wideScanner struct{}

// Scan implements [scan.Scanner].
func (wideScanner) Scan(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
	ports := req.Plan().Ports()
	for _, a := range req.Addresses() {
		answered := time.Now()
		report(scan.PortResult{Address: a.IP, Ports: &ports, State: scan.Closed, Cause: scan.CauseRST, Attempts: ports.Len(), LastResponse: answered})
		for _, port := range []uint16{22, 80, 31337} {
			report(scan.PortResult{Address: a.IP, Port: port, State: scan.Open, Cause: scan.CauseHandshake, RTT: time.Millisecond, LastResponse: answered})
		}
	}
	return nil
}

// newWideHarness returns a harness with results of all ports of 256 addresses.
func newWideHarness(tb testing.TB, module string) *harness {
	tb.Helper()
	resolver, err := resolve.New(resolve.Options{Ask: stubLookup{}.ask})
	if err != nil {
		tb.Fatal(err)
	}
	results, err := store.New(slog.New(slog.DiscardHandler))
	if err != nil {
		tb.Fatal(err)
	}
	scans, err := coordinator.New(coordinator.Options{
		Resolver: resolver, Store: results, MaxScans: 8, Logger: slog.New(slog.DiscardHandler),
		Engines: map[coordinator.Kind]scan.Scanner{{Protocol: scan.TCP, Method: scan.Connect}: wideScanner{}},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(scans.Close)
	h := newHarness(tb, wideConfig, nil, func(o *server.Options) { o.Scans, o.Results = scans, results })
	body := h.get(tb, "/probe?target=net&module="+module+"&debug=true").Body.String()
	if !strings.Contains(body, "probe_success 1") || !strings.Contains(body, "portscan_addresses 256") {
		tb.Fatalf("GET /probe: got %.200s, want a complete scan of 256 addresses", body)
	}
	return h
}

// discardClient is a client that counts what it reads.
type discardClient struct {
	header http.Header
	status int
	bytes  int
}

func (c *discardClient) Header() http.Header    { return c.header }
func (c *discardClient) WriteHeader(status int) { c.status = status }
func (c *discardClient) Write(p []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.bytes += len(p)
	return len(p), nil
}

// discard requests a path, and discards the answer.
func (h *harness) discard(tb testing.TB, path, encoding string) *discardClient {
	tb.Helper()
	r := httptest.NewRequestWithContext(tb.Context(), http.MethodGet, path, nil)
	r.Header.Set("Accept-Encoding", encoding)
	c := &discardClient{header: make(http.Header)}
	h.ServeHTTP(c, r)
	return c
}

// BenchmarkCachedAnswer answers from results of all ports of 256 addresses: the first time with
// the configuration, and again.
func BenchmarkCachedAnswer(b *testing.B) {
	for _, module := range []string{"notable", "all"} {
		h := newWideHarness(b, module)
		for _, encoding := range []string{"identity", "gzip"} {
			for _, first := range []bool{true, false} {
				b.Run(fmt.Sprintf("ports=%s/encoding=%s/first=%v", module, encoding, first), func(b *testing.B) {
					b.ReportAllocs()
					for b.Loop() {
						if first {
							b.StopTimer()
							if err := h.reloader.Reload(); err != nil {
								b.Fatal(err)
							}
							b.StartTimer()
						}
						c := h.discard(b, "/probe?target=net&module="+module, encoding)
						if c.status != http.StatusOK {
							b.Fatalf("got status %d, want 200", c.status)
						}
						b.ReportMetric(float64(c.bytes), "body-bytes")
					}
				})
			}
		}
	}
}

// TestConcurrentAnswers requests answers at once, of results of all ports of 256 addresses. Those
// of one address are encoded one by one.
func TestConcurrentAnswers(t *testing.T) {
	t.Parallel()
	h := newWideHarness(t, "all")
	for target, clients := range map[string]int{"net": 400, "198.51.100.7": 40} {
		peak := watchHeap()
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				if c := h.discard(t, "/probe?target="+target+"&module=all", "gzip"); c.status != http.StatusOK || c.bytes < 1000 {
					t.Errorf("GET /probe of %s: got status %d and %d bytes, want 200 and an answer", target, c.status, c.bytes)
				}
			})
		}
		wg.Wait()
		t.Logf("%d answers of %s: heap grew by up to %d MiB", clients, target, peak()>>20)
	}
}

// watchHeap samples the size of the heap, until the function is called that returns by how much
// it grew at most.
func watchHeap() (peak func() uint64) {
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	runtime.GC()
	before := heap()
	stop, grown := make(chan struct{}), make(chan uint64)
	go func() {
		most := before
		for {
			select {
			case <-stop:
				grown <- most - before
				return
			case <-time.After(time.Millisecond):
				most = max(most, heap())
			}
		}
	}()
	return func() uint64 {
		close(stop)
		return <-grown
	}
}
