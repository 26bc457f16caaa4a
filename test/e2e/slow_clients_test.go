// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

var errStillListening = errors.New("still accepts connections")

func dial(addr string) (net.Conn, error) { return net.DialTimeout("tcp", addr, time.Second) }

// halfRequest is an incomplete request.
const halfRequest = "GET /probe?target=own HTTP/1.1\r\nHost: exporter\r\nX-Half: a he"

// requestOn sends a request on an open connection.
func requestOn(t *testing.T, conn net.Conn, path string) response {
	t.Helper()
	a, err := tryRequestOn(conn, path)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return a
}

// tryRequestOn sends a request on a connection that the server may have closed.
func tryRequestOn(conn net.Conn, path string) (response, error) {
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: exporter\r\n\r\n"); err != nil {
		return response{}, err
	}
	return readResponse(conn)
}

func TestSlowClients(t *testing.T) {
	t.Parallel()
	const each = 200
	e := startExporter(t, targetsConfig("own"))
	idle := make([]net.Conn, each)
	for i := range idle {
		idle[i] = connect(t, e.addr)
		requestOn(t, idle[i], "/-/healthy")
	}
	half := make([]net.Conn, each)
	for i := range half {
		half[i] = connect(t, e.addr)
		if _, err := io.WriteString(half[i], halfRequest); err != nil {
			t.Fatal(err)
		}
	}
	sent := time.Now()
	held := e.scrapeMetrics(t)["process_open_fds"]
	if held < 2*each {
		t.Errorf("got %v open descriptors, want at least %d for the connections", held, 2*each)
	}

	closed := awaitClosed(half, sent.Add(15*time.Second))
	probes := 0
	for waiting := true; waiting; probes++ {
		m := e.probe(t, "target=own")
		m.wantValue(t, "probe_success", 1)
		if took := m["probe_duration_seconds"]; took > 2 {
			t.Errorf("a probe during slow requests took %v s, want at most 2", took)
		}
		select {
		case err := <-closed:
			if err != nil {
				t.Error(err)
			}
			waiting = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	t.Logf("%d probes were answered in %v until the slow clients were disconnected", probes, time.Since(sent).Round(time.Millisecond))
	for _, conn := range idle {
		if a := requestOn(t, conn, "/-/healthy"); a.status != http.StatusOK {
			t.Fatalf("GET /-/healthy on an idle connection = %d, want 200", a.status)
		}
	}
}

// awaitClosed waits for the server to close all connections until the deadline. It sends the result
// once.
func awaitClosed(conns []net.Conn, deadline time.Time) <-chan error {
	result := make(chan error, 1)
	errs := make([]error, len(conns))
	var all sync.WaitGroup
	for i, conn := range conns {
		all.Go(func() {
			if errs[i] = conn.SetReadDeadline(deadline); errs[i] != nil {
				return
			}
			if _, err := io.Copy(io.Discard, conn); errors.Is(err, os.ErrDeadlineExceeded) {
				errs[i] = fmt.Errorf("connection %d of a slow client is open", i)
			}
		})
	}
	go func() {
		all.Wait()
		result <- errors.Join(errs...)
	}()
	return result
}

// TestProbesReleaseResources checks goroutines, descriptors, counters and the log after many
// probes.
func TestProbesReleaseResources(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	e := startExporter(t, s.config())
	e.probe(t, "target=own")
	before, logged := e.scrapeMetrics(t), e.output.String()
	const rounds, atOnce = 10, 10
	for range rounds {
		var all sync.WaitGroup
		for range atOnce {
			all.Go(func() {
				wantStatus(t, e.url+"/probe?target=own", http.StatusOK)
			})
		}
		all.Wait()
	}
	var after metrics
	eventually(t, 10*time.Second, "goroutines and descriptors are released", func() error {
		after = e.scrapeMetrics(t)
		for _, m := range []string{"go_goroutines", "process_open_fds"} {
			const slack = 3
			if after[m] > before[m]+slack {
				return fmt.Errorf("%s was %v, now %v", m, before[m], after[m])
			}
		}
		return nil
	})
	scans, joined := after[`portscan_exporter_scans_total{module="quick"}`], after[`portscan_exporter_probes_coalesced_total{module="quick"}`]
	if scans+joined != rounds*atOnce+1 || scans < rounds+1 {
		t.Errorf("got %v scans and %v coalesced probes", scans, joined)
	}
	after.wantValue(t, `portscan_exporter_scan_failures_total{module="quick"}`, 0)
	after.wantValue(t, "portscan_exporter_scans_in_flight", 0)
	after.wantValue(t, "portscan_exporter_attempts_in_flight", 0)
	if more := strings.TrimPrefix(e.output.String(), logged); more != "" {
		t.Errorf("successful probes must not be logged at info:\n%s", more)
	}
	const mib = 1 << 20
	t.Logf("after %d probes: RSS %.1f MiB (before %.1f), %v goroutines (%v), %v descriptors (%v); with the race detector",
		rounds*atOnce, after["process_resident_memory_bytes"]/mib, before["process_resident_memory_bytes"]/mib,
		after["go_goroutines"], before["go_goroutines"], after["process_open_fds"], before["process_open_fds"])
}
