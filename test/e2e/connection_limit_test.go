// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// startLimitedExporter starts an exporter that may open this number of descriptors.
func startLimitedExporter(t *testing.T, descriptors int, config string, flags ...string) *exporter {
	t.Helper()
	e := &exporter{addr: freeAddress(t), config: writeFile(t, "config.yml", config)}
	args := append([]string{"-c", fmt.Sprintf(`ulimit -n %d && exec "$@"`, descriptors), "sh", plainBinary(t), "--config.file=" + e.config, "--web.listen-address=" + e.addr}, flags...)
	e.process = startCommand(t, exec.Command("sh", args...))
	e.awaitReady(t)
	return e
}

// openFlood opens n connections and sends a request on each, of which the exporter can close any.
func openFlood(t *testing.T, addr string, n int, request string) (closeAll func()) {
	t.Helper()
	const atOnce = 100
	conns := make([]net.Conn, n)
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for i := w; i < n; i += atOnce {
				from := net.Dialer{Timeout: 20 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+w%10))}}
				conn, err := from.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = conn
				_, _ = io.WriteString(conn, request)
			}
		})
	}
	all.Wait()
	closeAll = sync.OnceFunc(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	t.Cleanup(closeAll)
	return closeAll
}

// TestConnectionLimit probes while more clients than the exporter has descriptors keep idle
// connections or have sent half a request.
func TestConnectionLimit(t *testing.T) {
	t.Parallel()
	const clients, descriptors, limit = 2000, 1024, 512
	needDescriptors(t, 3*clients)
	e := startLimitedExporter(t, descriptors, targetsConfig("own"))
	e.probe(t, "target=own")
	before := e.scrapeMetrics(t)
	for name, request := range map[string]string{"idle": "GET /-/healthy HTTP/1.1\r\nHost: exporter\r\n\r\n", "half": halfRequest} {
		closeAll := openFlood(t, e.addr, clients, request)
		longest, descriptors := time.Duration(0), 0.0
		for range 20 {
			sent := time.Now()
			e.probe(t, "target=own").wantValue(t, "probe_success", 1)
			getBody(t, e.url+"/-/healthy")
			longest = max(longest, time.Since(sent))
			descriptors = max(descriptors, e.scrapeMetrics(t)["process_open_fds"])
		}
		t.Logf("%s: slowest probe %v, at most %v descriptors", name, longest.Round(time.Millisecond), descriptors)
		if longest > 10*time.Second {
			t.Errorf("%s: slowest probe took %v, want at most 10s", name, longest)
		}
		if descriptors < limit || descriptors > limit+64 {
			t.Errorf("%s: got %v descriptors at the peak, want about %d for connections", name, descriptors, limit)
		}
		closeAll()
	}
	eventually(t, 20*time.Second, "goroutines and descriptors are released", func() error {
		after := e.scrapeMetrics(t)
		for _, m := range []string{"go_goroutines", "process_open_fds"} {
			const slack = 3
			if after[m] > before[m]+slack {
				return fmt.Errorf("%s was %v, now %v", m, before[m], after[m])
			}
		}
		return nil
	})
	if out := e.output.String(); strings.Contains(out, "Lowered connection limit") {
		t.Errorf("the default does not fit into %d descriptors:\n%s", descriptors, out)
	}
}

// TestConnectionLimitLowered starts with fewer descriptors than the flag needs.
func TestConnectionLimitLowered(t *testing.T) {
	t.Parallel()
	e := startLimitedExporter(t, 128, targetsConfig("own"), "--web.max-connections=4000")
	if want := `msg="Lowered connection limit" flag=--web.max-connections from=4000 to=20 `; !strings.Contains(e.output.String(), want) {
		t.Errorf("log lacks %q:\n%s", want, e.output.String())
	}
	openFlood(t, e.addr, 300, halfRequest)
	for range 5 {
		e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	}
}

// TestConnectionLimitShutdown shuts down while all connections are busy and further ones wait.
func TestConnectionLimitShutdown(t *testing.T) {
	t.Parallel()
	e := startExporter(t, slowConfig("20s"), "--web.max-connections=2")
	first := startProbe(e)
	awaitScan(t, e)
	second := startProbe(e)
	eventually(t, 10*time.Second, "all connections are busy", func() error {
		conn := connect(t, e.addr)
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return err
		}
		if a, err := tryRequestOn(conn, "/-/healthy"); err == nil {
			return fmt.Errorf("got status %d", a.status)
		}
		return nil
	})
	connect(t, e.addr)
	since := e.terminate(t)
	for _, probe := range []<-chan probeOutcome{first, second} {
		r := <-probe
		if r.err != nil || r.status != 200 {
			t.Fatalf("running probe got %d, %v, want 200: %s", r.status, r.err, r.body)
		}
		parseMetrics(t, r.body).wantValue(t, `portscan_scan_failed{reason="canceled"}`, 1)
	}
	e.checkEndsWithin(t, maxShutdown, since)
}

// TestConnectionLimitReconnecting probes while more clients than the limit connect again as soon as
// they are disconnected.
func TestConnectionLimitReconnecting(t *testing.T) {
	t.Parallel()
	const clients = 600
	needDescriptors(t, 3*clients)
	e := startLimitedExporter(t, 1024, targetsConfig("own"), "--web.max-connections=100")
	var all sync.WaitGroup
	defer all.Wait()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var reconnects atomic.Int64
	for range clients {
		all.Go(func() {
			for ctx.Err() == nil {
				conn, err := new(net.Dialer).DialContext(ctx, "tcp", e.addr)
				if err != nil {
					continue
				}
				release := context.AfterFunc(ctx, func() { _ = conn.Close() })
				_, _ = io.Copy(io.Discard, conn) // until the exporter closes it
				release()
				_ = conn.Close()
				reconnects.Add(1)
			}
		})
	}
	eventually(t, time.Minute, "clients reconnect", func() error {
		if n := reconnects.Load(); n < 2*clients {
			return fmt.Errorf("%d reconnects", n)
		}
		return nil
	})
	for range 5 {
		sent := time.Now()
		e.probe(t, "target=own").wantValue(t, "probe_success", 1)
		took := time.Since(sent)
		t.Logf("probe took %v, %d reconnects", took.Round(time.Millisecond), reconnects.Load())
		if took > 20*time.Second {
			t.Errorf("probe took %v, want at most 20s", took)
		}
	}
}
