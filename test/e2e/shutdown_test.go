package e2e

import (
	"io"
	"net/http"
	"syscall"
	"testing"
	"time"
)

// terminate sends SIGTERM and returns when.
func (p *process) terminate(t *testing.T) time.Time {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	return time.Now()
}

// checkEndsWithin fails the test unless the process ends that soon after a moment,
// with status 0.
func (p *process) checkEndsWithin(t *testing.T, limit time.Duration, since time.Time) {
	t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Until(since.Add(limit))):
		t.Errorf("%s still runs %v after SIGTERM", p.name, limit)
		return
	}
	t.Logf("ended %v after SIGTERM", time.Since(since).Round(time.Millisecond))
	if status := p.cmd.ProcessState.ExitCode(); status != 0 {
		t.Errorf("%s ended with status %d", p.name, status)
	}
}

// maxShutdown is the promise.
const maxShutdown = 5 * time.Second

func TestShutdownDuringProbe(t *testing.T) {
	t.Parallel()
	e := startExporter(t, slowConfig("20s"))
	probe := startProbe(e)
	awaitScan(t, e)
	open := connect(t, e.addr) // after SIGTERM there are no new connections
	if err := checkStatus(e.url+"/-/ready", http.StatusOK); err != nil {
		t.Error(err)
	}

	since := e.terminate(t)
	eventually(t, 2*time.Second, "the port is closed", func() error {
		conn, err := dial(e.addr)
		if err == nil {
			_ = conn.Close()
			return errStillListening
		}
		return nil
	})
	if a, err := tryRequestOn(open, "/-/ready"); err == nil && a.status != http.StatusServiceUnavailable {
		t.Errorf("/-/ready after SIGTERM: %d, want 503 or no answer: %s", a.status, a.body)
	}

	r := <-probe
	if r.err != nil || r.status != http.StatusOK {
		t.Fatalf("the probe under way got %d: %v: %s", r.status, r.err, r.body)
	}
	m := parseMetrics(t, r.body)
	m.wantValue(t, "probe_success", 0)
	m.wantValue(t, `portscan_scan_failed{reason="canceled"}`, 1)
	if n := m.sumByPrefix("portscan_ports{"); n != 180 {
		t.Errorf("the answer is about %v ports, want 180", n)
	}
	if m.sumByPrefix("portscan_ports_unknown{") == 0 || m.sumByPrefix("portscan_ports_unknown{") == 180 {
		t.Errorf("%v of 180 ports are unknown, want some and not all", m.sumByPrefix("portscan_ports_unknown{"))
	}
	e.checkEndsWithin(t, maxShutdown, since)
}

func TestShutdownIdle(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	e.probe(t, "target=own")
	idle := connect(t, e.addr) // a Prometheus keeps its connection
	if a := requestOn(t, idle, "/-/healthy"); a.status != http.StatusOK {
		t.Errorf("/-/healthy: %d", a.status)
	}
	e.checkEndsWithin(t, 2*time.Second, e.terminate(t))
}

// TestShutdownSlowClients ends the program while clients hold half a request.
func TestShutdownSlowClients(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	for range 20 {
		if _, err := io.WriteString(connect(t, e.addr), halfRequest); err != nil {
			t.Fatal(err)
		}
	}
	getBody(t, e.url+"/-/healthy") // those before it are accepted by now
	e.checkEndsWithin(t, maxShutdown, e.terminate(t))
}

func TestShutdownByInterrupt(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	if err := e.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	e.checkEndsWithin(t, 2*time.Second, time.Now())
}
