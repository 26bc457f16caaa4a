// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import (
	"errors"
	"syscall"
)

// classOf returns the class of an error of socket(), bind() or connect(), see connect(2) and
// ip(7) of Linux and connect(2) of the BSDs.
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
		if isBindError(err) {
			return errnoNotOurSource
		}
		return errnoSourcePorts
	default:
		return errnoOther
	}
}

// isTruncated reports whether the error is that of a datagram longer than the buffer, which
// these systems do not return.
func isTruncated(error) bool { return false }
