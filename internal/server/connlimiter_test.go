// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"portscan_exporter/internal/server"
)

// limitedServer is a server with a limit of connections. Requests of /busy wait for release.
type limitedServer struct {
	http    *http.Server
	address string
	busy    atomic.Int64 // waiting requests
	idle    atomic.Int64 // answered requests
	release chan struct{}
	served  chan error
}

func startLimitedServer(t *testing.T, limit int) *limitedServer {
	t.Helper()
	s := &limitedServer{release: make(chan struct{}), served: make(chan error, 1)}
	s.http = &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			s.busy.Add(1)
			<-s.release
		}
	}), ReadHeaderTimeout: time.Minute}
	if err := server.LimitConnections(s.http, limit); err != nil {
		t.Fatal(err)
	}
	observe := s.http.ConnState
	s.http.ConnState = func(c net.Conn, state http.ConnState) {
		observe(c, state)
		if state == http.StateIdle {
			s.idle.Add(1)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	go func() { s.served <- s.http.Serve(l) }()
	t.Cleanup(func() { _ = s.http.Close() })
	return s
}

// connect opens a connection and sends a part of a request.
func (s *limitedServer) connect(t *testing.T, request string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	return c
}

const completeRequest = "GET / HTTP/1.1\r\nHost: test\r\n\r\n"

// request sends a request on a connection and returns an error unless it is answered.
func request(c net.Conn, request string) error {
	if _, err := io.WriteString(c, request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("got status %d, want 200", resp.StatusCode)
	}
	return nil
}

// reuse answers a request on a connection, which is idle afterwards.
func (s *limitedServer) reuse(t *testing.T, c net.Conn) {
	t.Helper()
	before := s.idle.Load()
	if err := request(c, completeRequest); err != nil {
		t.Fatal(err)
	}
	await(t, "idle connections", &s.idle, before+1)
}

// connectIdle opens a connection and answers one request on it.
func (s *limitedServer) connectIdle(t *testing.T) net.Conn {
	t.Helper()
	c := s.connect(t, "")
	s.reuse(t, c)
	return c
}

func await(t *testing.T, what string, got *atomic.Int64, want int64) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); got.Load() != want; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("got %d %s, want %d", got.Load(), what, want)
		}
	}
}

func TestLimitConnectionsInvalid(t *testing.T) {
	t.Parallel()
	if err := server.LimitConnections(&http.Server{}, 0); err == nil {
		t.Error("LimitConnections with a limit of 0 succeeded, want an error")
	}
}

// TestLimitConnectionsIdle opens more connections than the limit: the one that has been idle
// for the longest time must be closed, and no other.
func TestLimitConnectionsIdle(t *testing.T) {
	t.Parallel()
	s := startLimitedServer(t, 4)
	first, half, second := s.connectIdle(t), s.connect(t, "GET / HTTP/1.1\r\nHost: te"), s.connectIdle(t)
	s.reuse(t, first) // now second has been idle for longer
	s.connect(t, "GET /busy HTTP/1.1\r\nHost: test\r\n\r\n")
	await(t, "waiting requests", &s.busy, 1)

	s.connectIdle(t) // the half request is the oldest
	if err := request(half, "st\r\n\r\n"); err == nil {
		t.Error("the oldest connection without a request was answered, want it closed")
	}
	s.connectIdle(t)
	if err := request(second, completeRequest); err == nil {
		t.Error("the oldest idle connection was answered, want it closed")
	}
	if err := request(first, completeRequest); err != nil {
		t.Errorf("a connection that was used later: %v", err)
	}
}

// TestLimitConnectionsBusy opens connections while all are busy. They must be answered
// when one becomes idle, and not earlier.
func TestLimitConnectionsBusy(t *testing.T) {
	t.Parallel()
	const busy = "GET /busy HTTP/1.1\r\nHost: test\r\n\r\n"
	s := startLimitedServer(t, 2)
	for range 2 {
		s.connect(t, busy)
	}
	await(t, "waiting requests", &s.busy, 2)
	answered := make(chan error, 20)
	for range cap(answered) {
		c := s.connect(t, "")
		go func() { answered <- request(c, completeRequest) }()
	}
	select {
	case err := <-answered:
		t.Fatalf("request above the limit ended with %v, want it to wait", err)
	case <-time.After(200 * time.Millisecond):
	}
	s.release <- struct{}{} // one of two
	for range cap(answered) {
		if err := <-answered; err != nil {
			t.Errorf("request after the release: %v", err)
		}
	}
	s.release <- struct{}{}
}

// TestLimitConnectionsShutdown shuts down while all connections are busy and others wait.
func TestLimitConnectionsShutdown(t *testing.T) {
	t.Parallel()
	s := startLimitedServer(t, 1)
	answer := make(chan error, 1)
	c := s.connect(t, "")
	go func() { answer <- request(c, "GET /busy HTTP/1.1\r\nHost: test\r\n\r\n") }()
	await(t, "waiting requests", &s.busy, 1)
	s.connect(t, completeRequest)
	s.connect(t, completeRequest)
	time.Sleep(50 * time.Millisecond) // the server accepts the first of them

	ended := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		ended <- s.http.Shutdown(ctx)
	}()
	if err := <-s.served; !errors.Is(err, http.ErrServerClosed) { // no listener waits for a place
		t.Errorf("Serve() = %v, want %v", err, http.ErrServerClosed)
	}
	close(s.release)
	if err := <-answer; err != nil {
		t.Errorf("request during the shutdown: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("Shutdown() = %v, want nil", err)
	}
}

// TestLimitConnectionsHTTP2 has one connection make way for another with TLS and HTTP/2.
func TestLimitConnectionsHTTP2(t *testing.T) {
	t.Parallel()
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Proto) }))
	s.EnableHTTP2 = true
	inner := &http.Server{}
	if err := server.LimitConnections(inner, 1); err != nil {
		t.Fatal(err)
	}
	var closed atomic.Int64
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		inner.ConnState(c, state)
		if state == http.StateClosed {
			closed.Add(1)
		}
	}
	s.StartTLS()
	t.Cleanup(s.Close)
	for i := range int64(3) {
		client := &http.Client{Transport: s.Client().Transport.(*http.Transport).Clone()}
		t.Cleanup(client.CloseIdleConnections)
		for range 2 { // the second one on the same connection
			resp, err := client.Get(s.URL)
			if err != nil {
				t.Fatal(err)
			}
			if resp.ProtoMajor != 2 {
				t.Errorf("got %s, want HTTP/2", resp.Proto)
			}
			_ = resp.Body.Close()
		}
		await(t, "closed connections", &closed, i)
	}
}
