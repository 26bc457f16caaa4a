// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net"
	"os"

	"portscan_exporter/internal/scan"
)

// verdict is what one attempt says of a port. With state unknown and cause
// [scan.CauseSilence] nothing came back; any other cause with it is our own
// side's doing.
type verdict struct {
	state scan.State
	cause scan.Cause
}

// errnoClass groups the errors of connect() by what they may mean; errno_*.go
// sorts each system's numbers into them.
type errnoClass uint8

const (
	errnoOther        errnoClass = iota // nothing that we know: a fault of our own
	errnoRefused                        // a RST
	errnoReset                          // accepted, and reset at once
	errnoTimeout                        // nothing came back
	errnoUnreachable                    // an ICMP error, or no route of our own: can't be told from the number
	errnoNoRoute                        // surely this machine's own lack of a way
	errnoForbidden                      // this machine forbids it
	errnoDescriptors                    // no descriptor, no memory
	errnoSourcePorts                    // no free local port
	errnoNotOurSource                   // the address to scan from is not one of ours
)

// classify reads the error of one attempt; reachable tells whether this machine
// itself has a way to the address, and is asked only where the number leaves it
// open.
func classify(err error, reachable func() bool) verdict {
	switch classOf(err) {
	case errnoRefused:
		return verdict{state: scan.Closed, cause: scan.CauseRST}
	case errnoReset:
		return verdict{state: scan.Open, cause: scan.CauseHandshakeReset}
	case errnoTimeout:
		return verdict{cause: scan.CauseSilence}
	case errnoUnreachable:
		if reachable() {
			return verdict{state: scan.Filtered, cause: scan.CauseICMP}
		}
		return verdict{cause: scan.CauseNoRoute}
	case errnoNoRoute, errnoNotOurSource:
		return verdict{cause: scan.CauseNoRoute}
	case errnoForbidden:
		return verdict{cause: scan.CausePermission}
	case errnoDescriptors:
		return verdict{cause: scan.CauseDescriptors}
	case errnoSourcePorts:
		return verdict{cause: scan.CauseSourcePorts}
	default:
		if gaveUp(err) {
			return verdict{cause: scan.CauseSilence}
		}
		return verdict{cause: scan.CauseInternal}
	}
}

// gaveUp tells whether the attempt ended by its own timer. It is asked after the
// error's number, since a number may call itself a time-out and not be one
// (EAGAIN: no source port).
func gaveUp(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout())
}

// failedBinding tells whether the error came from binding the local address and
// not from connecting.
func failedBinding(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind"
}

// never says that an unreachable address is our own side's doing: what connect()
// returns at once did not come from the network.
func never() bool { return false }

// ownSide is why an attempt that ended at once could not be made: whatever
// connect() says then did not come from the network.
func ownSide(v verdict) scan.Cause {
	if v.state != scan.Unknown || v.cause == scan.CauseSilence {
		return scan.CauseInternal
	}
	return v.cause
}
