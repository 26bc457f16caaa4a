// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// The load that the exporter must sustain.
const (
	loadTargets  = 200
	loadPorts    = 100
	loadClients  = 2
	loadInterval = 5 * time.Second
)

// loadDuration returns one minute in CI and long tests, otherwise the time for three scrapes of
// each target.
func loadDuration() time.Duration {
	if os.Getenv("PORTSCAN_TEST_LONG") == "1" || os.Getenv("CI") != "" {
		return time.Minute
	}
	return 3 * loadInterval
}

// startPlainExporter is [startExporter] without the race detector.
func startPlainExporter(t *testing.T, config string, flags ...string) *exporter {
	t.Helper()
	e := startBinary(t, plainBinary(t), config, flags...)
	e.awaitReady(t)
	return e
}

// loadResult is the result of a load test. Read it after wait.
type loadResult struct {
	probes sync.WaitGroup

	mu                          sync.Mutex
	complete, incomplete        int
	refused, late               int
	responseTimes, refusalTimes []time.Duration // of responses with status 200, and of refusals
	wrong                       []string
	clients                     []*http.Client
}

// wait waits for all responses and closes the connections.
func (r *loadResult) wait() {
	r.probes.Wait()
	for _, c := range r.clients {
		c.CloseIdleConnections()
	}
}

func (r *loadResult) total() int {
	return r.complete + r.incomplete + r.refused + r.late + len(r.wrong)
}

// percentile returns the duration that a fraction of all durations does not exceed.
func percentile(all []time.Duration, fraction float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[int(float64(len(sorted)-1)*fraction)].Round(time.Millisecond / 10)
}

func (r *loadResult) String() string {
	return fmt.Sprintf("%d probes: %d complete, %d incomplete, %d refused, %d late, %d wrong; responses p50 %v, p99 %v, max %v; refusals p50 %v, max %v",
		r.total(), r.complete, r.incomplete, r.refused, r.late, len(r.wrong), percentile(r.responseTimes, 0.5), percentile(r.responseTimes, 0.99), percentile(r.responseTimes, 1),
		percentile(r.refusalTimes, 0.5), percentile(r.refusalTimes, 1))
}

// checkNoneWrong fails the test for each wrong response. It reports the first ten.
func (r *loadResult) checkNoneWrong(t *testing.T) {
	t.Helper()
	for i, w := range r.wrong {
		if i == 10 {
			t.Errorf("and %d more", len(r.wrong)-i)
			return
		}
		t.Error(w)
	}
}

// scraper sends requests as Prometheus does: it reuses connections, spreads the targets over the
// interval and cancels a request at the scrape timeout.
type scraper struct {
	hosts   loadHosts
	url     string
	timeout time.Duration
	client  *http.Client
	result  *loadResult
}

// run sends probes at fixed times, regardless of earlier responses.
func (s *scraper) run(ctx context.Context, first int, phase, length time.Duration) {
	began := time.Now().Add(phase)
	const step = loadInterval / loadTargets
	for k := range int(length / step) {
		time.Sleep(time.Until(began.Add(time.Duration(k) * step)))
		s.result.probes.Go(func() { s.scrape(ctx, (first+k)%loadTargets) })
	}
}

// scrape probes one target and records the result.
func (s *scraper) scrape(ctx context.Context, i int) {
	sent := time.Now()
	a, err := s.request(ctx, i)
	took := time.Since(sent)
	complete := false
	if err == nil && a.status == http.StatusOK {
		complete, err = s.hosts.checkResponse(i, a.body)
	} else if err == nil {
		err = checkRefusal(a)
	}
	s.result.mu.Lock()
	defer s.result.mu.Unlock()
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		s.result.late++
	case err != nil:
		s.result.wrong = append(s.result.wrong, fmt.Sprintf("%s after %v: %v", s.hosts.targetName(i), took.Round(time.Millisecond), err))
	case a.status != http.StatusOK:
		s.result.refused++
		s.result.refusalTimes = append(s.result.refusalTimes, took)
	case complete:
		s.result.complete++
		s.result.responseTimes = append(s.result.responseTimes, took)
	default:
		s.result.incomplete++
		s.result.responseTimes = append(s.result.responseTimes, took)
	}
}

func (s *scraper) request(ctx context.Context, i int) (response, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/probe?module=hundred&target="+s.hosts.targetName(i), nil)
	if err != nil {
		return response{}, err
	}
	req.Header.Set(timeoutHeader, strconv.FormatFloat(s.timeout.Seconds(), 'f', -1, 64))
	return send(s.client, req)
}

// checkRefusal returns an error unless a response is a 503 with Retry-After and one line of plain
// text.
func checkRefusal(a response) error {
	seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
	line, ended := strings.CutSuffix(a.body, "\n")
	switch {
	case a.status != http.StatusServiceUnavailable:
		return fmt.Errorf("status = %d, want 503: %.200q", a.status, a.body)
	case err != nil || seconds < 1:
		return fmt.Errorf("Retry-After of a 503 = %q", a.header.Get("Retry-After"))
	case !strings.HasPrefix(a.header.Get("Content-Type"), "text/plain") || !ended || line == "" || strings.Contains(line, "\n"):
		return fmt.Errorf("body of a 503 = %.200q, want one line of plain text", a.body)
	}
	return nil
}

// runLoad scrapes all targets from independent clients, as several Prometheus servers do. It
// returns when the last request has been sent.
func runLoad(t *testing.T, hosts loadHosts, url string, clients int, timeout, length time.Duration) *loadResult {
	t.Helper()
	result := &loadResult{}
	var sending sync.WaitGroup
	for i := range clients {
		s := &scraper{hosts: hosts, url: url, timeout: timeout, result: result, client: &http.Client{
			Transport: &http.Transport{MaxIdleConnsPerHost: 1000, IdleConnTimeout: time.Minute},
		}}
		result.clients = append(result.clients, s.client)
		phase := time.Duration(i) * loadInterval / loadTargets / time.Duration(clients)
		sending.Go(func() { s.run(t.Context(), i*loadTargets/clients, phase, length) })
	}
	sending.Wait()
	return result
}

const mib = 1 << 20

// resourceUsage formats the resources that the exporter uses.
func (m metrics) resourceUsage() string {
	return fmt.Sprintf("RSS %.1f MiB, %v goroutines, %v descriptors, %.1f s CPU", m["process_resident_memory_bytes"]/mib,
		m["go_goroutines"], m["process_open_fds"], m["process_cpu_seconds_total"])
}

const refusedByLimit = `portscan_exporter_probes_refused_total{reason="limit"}`
