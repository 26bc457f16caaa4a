// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"net"
	"net/netip"
	"os"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// verdict is the result of one attempt. Unknown with [scan.CauseSilence] means no answer;
// unknown with another cause is a local error.
type verdict struct {
	state scan.State
	cause scan.Cause

	icmp     scan.ICMPError // of an ICMP error
	ownICMP  bool           // the address itself sent it
	rejected bool           // it is one of [isReject]
}

func (v verdict) answer() pace.Answer {
	return pace.Answer{State: v.state, Cause: v.cause, ICMP: v.icmp}
}

// fromAddress reports whether the address itself has answered. ICMP errors of unknown
// senders do not count.
func (v verdict) fromAddress() bool {
	return v.cause.Answered() && (v.cause != scan.CauseICMP || v.ownICMP)
}

// errnoClass is the meaning of an error of connect(). The numbers of each system are in
// errno_*.go.
type errnoClass uint8

const (
	errnoOther        errnoClass = iota // unexpected, a bug
	errnoRefused                        // RST
	errnoReset                          // accepted and reset at once
	errnoTimeout                        // no answer
	errnoUnreachable                    // an ICMP error, or no local route
	errnoNoRoute                        // no local route
	errnoForbidden                      // a local filter or policy
	errnoDescriptors                    // no descriptor or memory
	errnoSourcePorts                    // no free local port
	errnoNotOurSource                   // the source address is not a local one
)

// localCause returns the cause of an attempt that could not be made, from an error that the
// system returned at once. Such an error does not come from the network.
func localCause(err error) scan.Cause {
	switch classOf(err) {
	case errnoUnreachable, errnoNoRoute, errnoNotOurSource:
		return scan.CauseNoRoute
	case errnoForbidden:
		return scan.CausePermission
	case errnoDescriptors:
		return scan.CauseDescriptors
	case errnoSourcePorts:
		return scan.CauseSourcePorts
	default:
		return scan.CauseInternal
	}
}

// completionVerdict returns the verdict of an attempt that ended with an error later. It
// calls reachable, which reports whether this machine has a route to the address, if the
// error may come from the network or from this machine.
func completionVerdict(err error, reachable func() bool) verdict {
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
	case errnoOther:
		if isTimeout(err) {
			return verdict{cause: scan.CauseSilence}
		}
	default:
	}
	return verdict{cause: localCause(err)}
}

// unreachable returns false: ICMP errors of the attempt are read from the error queue.
func unreachable() bool { return false }

// isTimeout reports whether the attempt ended by its own timer. The error number must be
// checked first, because EAGAIN, no source port, is a timeout by its method.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || (errors.As(err, &timeout) && timeout.Timeout())
}

// isBindError reports whether the error is that of bind() and not of connect().
func isBindError(err error) bool {
	var call *os.SyscallError
	return errors.As(err, &call) && call.Syscall == "bind"
}

// icmpVerdict returns the verdict of an ICMP error that a node has sent about a packet to an
// address.
func icmpVerdict(from, to netip.Addr, kind, code uint8) verdict {
	return verdict{state: scan.Filtered, cause: scan.CauseICMP, icmp: scan.ICMPError{From: from, Type: kind, Code: code}, ownICMP: from == to, rejected: isReject(to, kind, code)}
}

// isReject reports whether an ICMP error about a packet to the address is one with which
// filters reject, and not one for a missing host or network (RFC 792, RFC 1812 section
// 5.2.7.1, RFC 4443 section 3.1).
func isReject(to netip.Addr, kind, code uint8) bool {
	if to.Is4() {
		const unreachable, port, netProhibited, hostProhibited, prohibited = 3, 3, 9, 10, 13
		return kind == unreachable && (code == port || code == netProhibited || code == hostProhibited || code == prohibited)
	}
	const unreachable, prohibited, port, policy, route = 1, 1, 4, 5, 6
	return kind == unreachable && (code == prohibited || code == port || code == policy || code == route)
}
