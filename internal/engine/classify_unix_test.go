// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"testing"

	"portscan_exporter/internal/scan"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	call := func(name string, errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Err: os.NewSyscallError(name, errno)}
	}
	for _, tc := range []struct {
		err       error
		reachable bool
		want      string
	}{
		{call("connect", syscall.ECONNREFUSED), true, "closed rst"},
		{call("connect", syscall.ECONNRESET), true, "open handshake_reset"},
		{call("connect", syscall.EPIPE), true, "open handshake_reset"},
		{call("connect", syscall.ETIMEDOUT), true, "unknown silence"},
		{context.DeadlineExceeded, true, "unknown silence"},
		{fmt.Errorf("dial: %w", os.ErrDeadlineExceeded), true, "unknown silence"},
		{call("connect", syscall.EHOSTUNREACH), true, "filtered icmp"},
		{call("connect", syscall.EHOSTUNREACH), false, "unknown no_route"},
		{call("connect", syscall.ENETUNREACH), true, "filtered icmp"},
		{call("connect", syscall.ENETUNREACH), false, "unknown no_route"},
		{call("connect", syscall.EPROTO), true, "filtered icmp"},
		{call("connect", syscall.ENOPROTOOPT), true, "filtered icmp"},
		{call("connect", syscall.EINVAL), true, "unknown no_route"},
		{call("connect", syscall.ENETDOWN), true, "unknown no_route"},
		{call("socket", syscall.EAFNOSUPPORT), true, "unknown no_route"},
		{call("connect", syscall.EACCES), true, "unknown permission"},
		{call("connect", syscall.EPERM), true, "unknown permission"},
		{call("socket", syscall.EMFILE), true, "unknown descriptors"},
		{call("socket", syscall.ENFILE), true, "unknown descriptors"},
		{call("socket", syscall.ENOBUFS), true, "unknown descriptors"},
		{call("socket", syscall.ENOMEM), true, "unknown descriptors"},
		{call("connect", syscall.EADDRNOTAVAIL), true, "unknown source_ports"},
		{call("connect", syscall.EAGAIN), true, "unknown source_ports"},
		{call("bind", syscall.EADDRINUSE), true, "unknown source_ports"},
		{call("bind", syscall.EADDRNOTAVAIL), true, "unknown no_route"},
		{call("connect", syscall.ECONNABORTED), true, "unknown internal"},
		{call("connect", syscall.EBADF), true, "unknown internal"},
		{errors.New("something else"), true, "unknown internal"},
	} {
		v := classify(tc.err, func() bool { return tc.reachable })
		if got := v.state.String() + " " + v.cause.String(); got != tc.want {
			t.Errorf("%v (reachable %v) reads as %s, want %s", tc.err, tc.reachable, got, tc.want)
		}
		if v.state != scan.Unknown && v.cause == scan.CauseSilence {
			t.Errorf("%v: one silent attempt decides nothing", tc.err)
		}
	}
}
