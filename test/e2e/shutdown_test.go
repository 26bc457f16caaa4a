// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"io"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// terminate sends SIGTERM and returns the time.
func (p *process) terminate(t *testing.T) time.Time {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	return time.Now()
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// checkEndsWithin fails the test unless the program ends within the limit, with status 0.
func (p *process) checkEndsWithin(t *testing.T, limit time.Duration, since time.Time) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Until(since.Add(limit))):
		t.Errorf("%s is running %v after SIGTERM", p.name, limit)
		return
	}
	t.Logf("shutdown took %v", time.Since(since).Round(time.Millisecond))
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("exit status of %s = %d, want 0", p.name, status)
	}
}

// maxShutdown is the longest time that a shutdown may take.
const maxShutdown = 5 * time.Second

func TestShutdownDuringProbe(t *testing.T) {
	t.Parallel()
	e := startExporter(t, slowConfig("20s"))
	probe := startProbe(e)
	awaitScan(t, e)
	open := connect(t, e.addr) // connections are refused during the shutdown
	wantStatus(t, e.url+"/-/ready", http.StatusOK)

	since := e.terminate(t)
	eventually(t, 2*time.Second, "the listener is closed", func() error {
		conn, err := dial(e.addr)
		if err == nil {
			_ = conn.Close()
			return errStillListening
		}
		return nil
	})
	if a, err := tryRequestOn(open, "/-/ready"); err == nil && a.status != http.StatusServiceUnavailable {
		t.Errorf("GET /-/ready during the shutdown = %d, want 503 or no response: %s", a.status, a.body)
	}

	r := <-probe
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("running probe got %d, %v, want 200: %s", r.status, r.err, r.body)
	}
	m := parseMetrics(t, r.body)
	m.wantValue(t, "probe_success", 0)
	m.wantValue(t, `portscan_scan_failed{reason="canceled"}`, 1)
	if n := m.sumByPrefix("portscan_ports{"); n != 180 {
		t.Errorf("got %v ports, want 180", n)
	}
	if m.sumByPrefix("portscan_ports_unknown{") == 0 || m.sumByPrefix("portscan_ports_unknown{") == 180 {
		t.Errorf("got %v unknown ports of 180, want some and not all", m.sumByPrefix("portscan_ports_unknown{"))
	}
	e.checkEndsWithin(t, maxShutdown, since)
}

func TestShutdownIdle(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	e.probe(t, "target=own")
	idle := connect(t, e.addr) // as Prometheus keeps its connections
	if a := requestOn(t, idle, "/-/healthy"); a.status != http.StatusOK {
		t.Errorf("GET /-/healthy = %d, want 200", a.status)
	}
	e.checkEndsWithin(t, 2*time.Second, e.terminate(t))
}

// TestShutdownSlowClients shuts down while clients have sent half a request.
func TestShutdownSlowClients(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	for range 20 {
		if _, err := io.WriteString(connect(t, e.addr), halfRequest); err != nil {
			t.Fatal(err)
		}
	}
	getBody(t, e.url+"/-/healthy") // earlier connections have been accepted
	e.checkEndsWithin(t, maxShutdown, e.terminate(t))
}

func TestShutdownByInterrupt(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	e.signal(t, syscall.SIGINT)
	e.checkEndsWithin(t, 2*time.Second, time.Now())
}
