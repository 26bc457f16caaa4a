// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// TestArrivalTime accepts a connection long after its request was received.
func TestArrivalTime(t *testing.T) {
	t.Parallel()
	waited := make(chan time.Duration, 1)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		waited <- time.Since(arrivalTime(r))
	}))
	s.Config.ConnContext = ConnContext
	defer s.Close()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	s.Start()
	if got := <-waited; got < 900*time.Millisecond || got > time.Minute {
		t.Errorf("request arrived %v before its handler, want 1s", got)
	}
}
