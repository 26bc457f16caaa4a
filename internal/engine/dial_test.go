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

// TestSelfConnectIsNotOpen has every connection meet itself: no port is open,
// nor known to be anything.
func TestSelfConnectIsNotOpen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = &dialer{dial: func(_ context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
			return selfConn{fakeConn{to: to}}, nil
		}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-10"), home))); got["unknown source_ports"] != 10 {
			t.Errorf("connections with themselves read as %v", got)
		}
	})
}

type selfConn struct{ fakeConn }

func (c selfConn) LocalAddr() net.Addr { return c.RemoteAddr() }

// TestUnreachable tells an ICMP error from afar from what may be our own
// network's doing. The made-up network answers no attempt, and so gets no packet.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	far, near := netip.MustParseAddr("203.0.113.1"), netip.MustParseAddr("127.0.0.1")
	for name, tc := range map[string]struct {
		to    netip.Addr
		route error // what connecting a datagram socket says
		want  string
	}{
		"from afar":       {far, nil, "filtered icmp"},
		"no route of our": {far, syscall.ENETUNREACH, "unknown no_route"},
		"on our network":  {near, nil, "unknown no_route"},
	} {
		synctest.Test(t, func(t *testing.T) {
			d := testDial(t, Limits{})
			d.system = &dialer{dial: func(_ context.Context, _ netip.Addr, network string, to netip.AddrPort) (net.Conn, error) {
				if network == "udp" {
					return fakeConn{to: to}, tc.route
				}
				return nil, syscall.EHOSTUNREACH
			}}
			spec := testSpec("1-10")
			spec.Expect = &scan.Expectation{Open: scan.NewPortSet(1)}
			if got := census(scanAll(t.Context(), t, d, testRequest(t, spec, tc.to))); got[tc.want] != 10 {
				t.Errorf("%s: %v, want %s", name, got, tc.want)
			}
		})
	}
}
