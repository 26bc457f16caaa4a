// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// clientFlood is a set of clients that occupy connections of an exporter.
type clientFlood struct {
	addr    string
	clients sync.WaitGroup

	slowOpened, slowClosed, hugeRefused atomic.Int64 // slow connections; slow connections closed by the server; large headers refused by the server
}

const slowPause = 500 * time.Millisecond // between two bytes of a slow client

// runSlowClient sends a request one byte at a time until ctx ends. It reconnects when the server
// closes the connection.
func (f *clientFlood) runSlowClient(ctx context.Context) {
	for ctx.Err() == nil {
		conn, err := dial(f.addr)
		if err == nil {
			f.slowOpened.Add(1)
			f.sendSlowly(ctx, conn)
			_ = conn.Close()
		}
		pause(ctx, slowPause) // avoids a busy loop if dialing fails immediately
	}
}

func (f *clientFlood) sendSlowly(ctx context.Context, conn net.Conn) {
	const request = "GET /probe?target=own HTTP/1.1\r\nHost: exporter\r\nX-Slow: "
	for i := 0; ctx.Err() == nil; i++ {
		next := "z"
		if i < len(request) {
			next = request[i : i+1]
		}
		if _, err := io.WriteString(conn, next); err != nil {
			f.slowClosed.Add(1)
			return
		}
		pause(ctx, slowPause)
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// runHugeClient repeats a request with a header of 1 MB until ctx ends.
func (f *clientFlood) runHugeClient(ctx context.Context) {
	request := rawRequest("GET", "/probe?target=own", "X-Big: "+strings.Repeat("b", 1<<20)+"\r\n")
	for ctx.Err() == nil {
		if conn, err := dial(f.addr); err == nil {
			_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
			go func() { _, _ = io.WriteString(conn, request) }()
			if a, err := readResponse(conn); err == nil && a.status == tooLarge {
				f.hugeRefused.Add(1)
			}
			_ = conn.Close()
		}
		pause(ctx, slowPause)
	}
}

// startClients starts clients that run until ctx ends.
func (f *clientFlood) startClients(ctx context.Context, slow, huge int) {
	for range slow {
		f.clients.Go(func() { f.runSlowClient(ctx) })
	}
	for range huge {
		f.clients.Go(func() { f.runHugeClient(ctx) })
	}
}

// openIdleConnections opens n connections, sends one request on each and keeps them idle.
func openIdleConnections(t *testing.T, addr string, n int) []net.Conn {
	t.Helper()
	const atOnce = 50
	conns, errs := make([]net.Conn, n), make([]error, n)
	t.Cleanup(func() {
		for _, conn := range conns {
			if conn != nil {
				_ = conn.Close()
			}
		}
	})
	var all sync.WaitGroup
	for w := range atOnce {
		all.Go(func() {
			for i := w; i < n; i += atOnce {
				conns[i], errs[i] = openIdleConnection(addr, i)
			}
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatalf("opening %d connections: %.2000v", n, err)
	}
	return conns
}

// openIdleConnection uses one of several source addresses, because one does not have enough ports.
func openIdleConnection(addr string, i int) (net.Conn, error) {
	const addresses = 10
	from := net.Dialer{Timeout: 10 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 2, byte(1+i%addresses))}}
	conn, err := from.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		return conn, err
	}
	a, err := tryRequestOn(conn, "/-/healthy")
	if err == nil && a.status != http.StatusOK {
		err = fmt.Errorf("GET /-/healthy = %d, want 200", a.status)
	}
	return conn, err
}

// needDescriptors skips the test unless a process can open n descriptors. Go raises the soft limit
// to the hard limit.
func needDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < n {
		skip(t, fmt.Sprintf("the limit of %d descriptors is too low, want %d: raise the hard limit (ulimit -Hn)", limit.Cur, n))
	}
}

// TestSlowAndIdleClients probes while other clients send slowly, send large headers or keep idle
// connections.
func TestSlowAndIdleClients(t *testing.T) {
	t.Parallel()
	const idle, slow, huge, length = 10_000, 500, 4, 10 * time.Second
	needDescriptors(t, (idle+slow+200)/2*3)                                                                  // the exporter uses two thirds for connections
	e := startPlainExporter(t, targetsConfig("own"), fmt.Sprintf("--web.max-connections=%d", idle+slow+100)) // with the race detector each connection takes 100 KiB
	before := e.scrapeMetrics(t)
	began := time.Now()
	conns := openIdleConnections(t, e.addr, idle)
	t.Logf("opened %d connections in %v", idle, time.Since(began).Round(time.Millisecond))

	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	s := &clientFlood{addr: e.addr}
	s.startClients(ctx, slow, huge)
	probes, longest := 0, time.Duration(0)
	var most metrics
	for ctx.Err() == nil {
		sent := time.Now()
		e.probe(t, "target=own", timeoutHeader, "10").wantValue(t, "probe_success", 1)
		probes, longest = probes+1, max(longest, time.Since(sent))
		if probes%10 == 0 {
			most = e.scrapeMetrics(t)
		}
		pause(ctx, 50*time.Millisecond)
	}
	cancel()
	s.clients.Wait()
	t.Logf("%d probes, slowest %v; %d slow connections, %d of them closed by the server; %d large headers refused; peak: %s (before: %s)",
		probes, longest.Round(time.Millisecond), s.slowOpened.Load(), s.slowClosed.Load(), s.hugeRefused.Load(), most.resourceUsage(), before.resourceUsage())
	if longest > 2*time.Second {
		t.Errorf("slowest probe took %v, want at most 2s", longest)
	}
	if most["process_open_fds"] < idle+slow/2 || s.slowOpened.Load() < slow || s.slowClosed.Load() < slow || s.hugeRefused.Load() < huge {
		t.Errorf("got %v descriptors at the peak: too few clients for the test", most["process_open_fds"])
	}
	for i := 0; i < idle; i += 100 {
		if a := requestOn(t, conns[i], "/-/healthy"); a.status != http.StatusOK {
			t.Fatalf("GET /-/healthy on an idle connection = %d, want 200", a.status)
		}
	}
}
