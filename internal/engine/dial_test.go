// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// TestDialSelfConnect returns connections whose two ends have the same address and port: the
// ports must be unknown for lack of a source port.
func TestDialSelfConnect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = &dialSystem{dial: func(_ context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
			return selfConn{fakeConn{to: to}}, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-10"), target4))); got["unknown source_ports"] != 10 {
			t.Errorf("states = %v, want 10 unknown (source_ports)", got)
		}
	})
}

// selfConn is a connection of a socket with itself.
type selfConn struct{ fakeConn }

func (c selfConn) LocalAddr() net.Addr { return c.RemoteAddr() }

// TestDialUnreachable returns EHOSTUNREACH for each attempt. Ports of a remote address must be
// filtered if there is a route to it, because a router has sent the error. Otherwise they must
// be unknown, because the error may be a local one.
func TestDialUnreachable(t *testing.T) {
	t.Parallel()
	remote, local := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("127.0.0.1")
	for name, tc := range map[string]struct {
		to    netip.Addr
		route error // of connecting a datagram socket
		want  string
	}{
		"remote address": {remote, nil, "filtered icmp"},
		"no route":       {remote, syscall.ENETUNREACH, "unknown no_route"},
		"local address":  {local, nil, "unknown no_route"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := testDial(t, Limits{})
			d.system = &dialSystem{dial: func(_ context.Context, _ netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
				if network == "udp" {
					return fakeConn{to: to}, tc.route
				}
				return nil, syscall.EHOSTUNREACH
			}}
			spec := testSpec("1-10")
			spec.Expect = &scan.Expectation{Open: scan.NewPortSet(1)}
			if got := census(scanAll(t.Context(), t, d, testRequest(t, spec, tc.to))); got[tc.want] != 10 {
				t.Errorf("%s: states = %v, want 10 %s", name, got, tc.want)
			}
		})
	}
}
