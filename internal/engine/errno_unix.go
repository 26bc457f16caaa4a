// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import (
	"errors"
	"syscall"
)

// classOf sorts an error of socket(), bind() or connect(). The numbers and
// their meanings are those of connect(2) and ip(7) on Linux and of the BSDs'
// connect(2).
func classOf(err error) errnoClass {
	var errno syscall.Errno
	if !errors.As(err, &errno) {
		return errnoOther
	}
	switch errno {
	case syscall.ECONNREFUSED:
		return errnoRefused
	case syscall.ECONNRESET, syscall.EPIPE:
		return errnoReset
	case syscall.ETIMEDOUT:
		return errnoTimeout
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN, syscall.EPROTO, syscall.ENOPROTOOPT:
		return errnoUnreachable
	case syscall.EINVAL, syscall.ENETDOWN, syscall.EAFNOSUPPORT, syscall.ENODEV:
		return errnoNoRoute
	case syscall.EACCES, syscall.EPERM:
		return errnoForbidden
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM:
		return errnoDescriptors
	case syscall.EADDRINUSE, syscall.EAGAIN: // connect(2) on Linux and FreeBSD: no local port is free
		return errnoSourcePorts
	case syscall.EADDRNOTAVAIL:
		if failedBinding(err) {
			return errnoNotOurSource
		}
		return errnoSourcePorts
	default:
		return errnoOther
	}
}

// tooLong tells whether a datagram came that was longer than was read of it, which
// is no error on these systems.
func tooLong(error) bool { return false }
