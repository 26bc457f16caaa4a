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

// TestCompletionVerdict has errors of attempts that end: each must have the right state and
// cause. A single silent attempt must not decide a state.
func TestCompletionVerdict(t *testing.T) {
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
		v := completionVerdict(tc.err, func() bool { return tc.reachable })
		if got := v.state.String() + " " + v.cause.String(); got != tc.want {
			t.Errorf("completionVerdict(%v, reachable: %v) = %s, want %s", tc.err, tc.reachable, got, tc.want)
		}
		if v.state != scan.Unknown && v.cause == scan.CauseSilence {
			t.Errorf("completionVerdict(%v) = %v (%v), want unknown after one silent attempt", tc.err, v.state, v.cause)
		}
	}
}

// TestLocalCause has errors that a call returns at once: each must have a cause on this machine,
// even if the network can cause the same error later.
func TestLocalCause(t *testing.T) {
	t.Parallel()
	call := func(name string, errno syscall.Errno) error { return os.NewSyscallError(name, errno) }
	for _, tc := range []struct {
		err  error
		want scan.Cause
	}{
		{call("connect", syscall.ECONNREFUSED), scan.CauseInternal},
		{call("connect", syscall.ECONNRESET), scan.CauseInternal},
		{call("connect", syscall.ETIMEDOUT), scan.CauseInternal},
		{os.ErrDeadlineExceeded, scan.CauseInternal},
		{call("connect", syscall.ECONNABORTED), scan.CauseInternal},
		{call("connect", syscall.EHOSTUNREACH), scan.CauseNoRoute},
		{call("connect", syscall.ENETUNREACH), scan.CauseNoRoute},
		{call("connect", syscall.EINVAL), scan.CauseNoRoute},
		{call("socket", syscall.EAFNOSUPPORT), scan.CauseNoRoute},
		{call("bind", syscall.EADDRNOTAVAIL), scan.CauseNoRoute},
		{call("connect", syscall.EACCES), scan.CausePermission},
		{call("connect", syscall.EPERM), scan.CausePermission},
		{call("socket", syscall.EMFILE), scan.CauseDescriptors},
		{call("socket", syscall.ENOBUFS), scan.CauseDescriptors},
		{call("connect", syscall.EADDRNOTAVAIL), scan.CauseSourcePorts},
		{call("connect", syscall.EAGAIN), scan.CauseSourcePorts},
		{call("bind", syscall.EADDRINUSE), scan.CauseSourcePorts},
	} {
		if got := localCause(tc.err); got != tc.want {
			t.Errorf("localCause(%v) = %v, want %v", tc.err, got, tc.want)
		}
	}
}
