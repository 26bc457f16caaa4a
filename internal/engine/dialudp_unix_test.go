// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import (
	"context"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"

	"portscan_exporter/internal/scan"
)

// failingConn is a UDP connection whose sends fail.
type failingConn struct {
	fakeConn

	errno syscall.Errno
}

func (c failingConn) Write([]byte) (int, error) {
	return 0, &net.OpError{Op: "write", Err: os.NewSyscallError("sendto", c.errno)}
}

// TestDialUDPSendFails returns errors for sends, with that of a full interface queue among them:
// the port must be unknown with the error's cause.
func TestDialUDPSendFails(t *testing.T) {
	t.Parallel()
	for errno, want := range map[syscall.Errno]scan.Cause{
		syscall.ENOBUFS:     scan.CauseDeadline,
		syscall.EPERM:       scan.CausePermission,
		syscall.ENETUNREACH: scan.CauseNoRoute,
	} {
		sent := false
		d := &dialSystem{udp: true, dial: func(_ context.Context, _ netip.Addr, _ string, to netip.AddrPort) (net.Conn, error) {
			if sent { // the route, which is dialed after an error
				return nil, syscall.ENETUNREACH
			}
			sent = true
			return failingConn{fakeConn{to: to}, errno}, nil
		}}
		v := d.attemptUDP(t.Context(), netip.Addr{}, netip.AddrPortFrom(own4, 53))
		if v.state != scan.Unknown || v.cause != want {
			t.Errorf("verdict after send error %v = %v (%v), want unknown (%v)", errno, v.state, v.cause, want)
		}
	}
}

// TestDialWithoutSource returns the error of exhausted local ports from connect(). The port must
// be unknown for lack of source ports, or of a route if there is no source address.
func TestDialWithoutSource(t *testing.T) {
	t.Parallel()
	for has, want := range map[bool]scan.Cause{true: scan.CauseSourcePorts, false: scan.CauseNoRoute} {
		d := &dialSystem{
			hasSource: func(netip.Addr, netip.Addr) bool { return has },
			dial: func(context.Context, netip.Addr, string, netip.AddrPort) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)}
			},
		}
		for name, attempt := range map[string]func(context.Context, netip.Addr, netip.AddrPort) verdict{"TCP": d.attempt, "UDP": d.attemptUDP} {
			v := attempt(t.Context(), netip.Addr{}, netip.AddrPortFrom(own4, 53))
			if v.state != scan.Unknown || v.cause != want {
				t.Errorf("%s: verdict with a source address (%v) = %v (%v), want unknown (%v)", name, has, v.state, v.cause, want)
			}
		}
	}
}
