// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// classOf returns the class of an error of Winsock's socket(), bind() or ConnectEx().
func classOf(err error) errnoClass {
	var errno windows.Errno
	if !errors.As(err, &errno) {
		return errnoOther
	}
	switch errno {
	case windows.WSAECONNREFUSED, windows.ERROR_CONNECTION_REFUSED:
		return errnoRefused
	case windows.WSAECONNRESET:
		return errnoReset
	case windows.WSAETIMEDOUT, windows.ERROR_SEM_TIMEOUT:
		return errnoTimeout
	case windows.WSAEHOSTUNREACH, windows.WSAENETUNREACH, windows.WSAEHOSTDOWN,
		windows.ERROR_HOST_UNREACHABLE, windows.ERROR_NETWORK_UNREACHABLE, windows.ERROR_PORT_UNREACHABLE:
		return errnoUnreachable
	case windows.WSAEINVAL, windows.WSAENETDOWN, windows.WSAEAFNOSUPPORT, syscall.EAFNOSUPPORT:
		return errnoNoRoute
	case windows.WSAEACCES:
		return errnoForbidden
	case windows.WSAEMFILE, windows.WSAENOBUFS:
		return errnoDescriptors
	case windows.WSAEADDRINUSE:
		return errnoSourcePorts
	case windows.WSAEADDRNOTAVAIL:
		if isBindError(err) {
			return errnoNotOurSource
		}
		return errnoSourcePorts
	default:
		return errnoOther
	}
}

// isTruncated reports whether the error is that of a datagram longer than the buffer.
func isTruncated(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
