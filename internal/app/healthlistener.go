// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// maxHealthConnections limits the open connections of the health listener. Clients of other
// listeners do not count, so that they cannot block health checks. Their descriptors are some of
// those that package engine reserves for listeners and files.
const maxHealthConnections = 32

// healthListener serves health checks on an address of its own, without TLS and
// passwords. Its owner must close it. A nil listener is that of no address.
type healthListener struct {
	server *http.Server
	ended  chan error // closed when the server has ended, after its error
}

// startHealthListener listens on the address of the options, if there is one. None of the
// other addresses may include it.
func startHealthListener(ctx context.Context, o *WebOptions, h http.Handler, logger *slog.Logger) (*healthListener, error) {
	address := o.HealthListenAddress
	if address == "" {
		return nil, nil //nolint:nilnil // no address is no listener
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("--web.health-listen-address=%s: invalid address: write HOST:PORT, for example 127.0.0.1:10116", address)
	}
	if !*o.Web.WebSystemdSocket {
		for _, other := range *o.Web.WebListenAddresses {
			if overlaps(address, other) {
				return nil, fmt.Errorf("--web.health-listen-address=%s: same port as --web.listen-address=%s: write another port", address, other)
			}
		}
	}
	s, err := newHealthServer(h, logger)
	if err != nil {
		return nil, err
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--web.health-listen-address=%s: %w", address, err)
	}
	logger.Info("Listening for health checks", "address", l.Addr().String())
	hl := &healthListener{server: s, ended: make(chan error, 1)}
	go func() {
		defer close(hl.ended)
		hl.ended <- hl.server.Serve(l)
	}()
	return hl, nil
}

// newHealthServer has stricter limits than that of other requests: its clients send
// one short request.
func newHealthServer(h http.Handler, logger *slog.Logger) (*http.Server, error) {
	s, err := newHTTPServer(h, maxHealthConnections, logger)
	if err != nil {
		return nil, err
	}
	s.IdleTimeout = 10 * time.Second
	s.MaxHeaderBytes = 4 << 10
	return s, nil
}

// failed returns the channel that receives the error of the server.
func (hl *healthListener) failed() <-chan error {
	if hl == nil {
		return nil
	}
	return hl.ended
}

// close closes the listener and waits until its server has ended.
func (hl *healthListener) close() {
	if hl == nil {
		return
	}
	_ = hl.server.Close()
	for range hl.ended {
	}
}

// overlaps reports whether two addresses of listeners cannot be used at once.
func overlaps(a, b string) bool {
	hostA, portA, errA := net.SplitHostPort(a)
	hostB, portB, errB := net.SplitHostPort(b)
	if errA != nil || errB != nil || portA != portB || portA == "0" {
		return false
	}
	return hostA == hostB || isUnspecified(hostA) || isUnspecified(hostB)
}

// isUnspecified reports whether the host stands for all addresses.
func isUnspecified(host string) bool { return loopbackOf(host) != host }
