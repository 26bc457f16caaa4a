// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"time"
)

// connKey is the key of a request's connection in its context.
type connKey struct{}

// ConnContext is the ConnContext of an [http.Server] whose handler is a [Server]. Without it,
// requests arrive when their handler starts, which is late on a machine with little CPU.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// arrivalTime returns when the kernel received the request.
func arrivalTime(r *http.Request) time.Time {
	const longest = time.Minute // an older request has no client any more
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	waited := time.Duration(0)
	if tcp, ok := conn.(*net.TCPConn); ok {
		waited = min(sinceLastData(tcp), longest)
	}
	return time.Now().Add(-waited)
}
