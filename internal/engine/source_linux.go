// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"

	"portscan_exporter/internal/scan"
)

// sendCause returns why an attempt from the source, or from any address if it is invalid,
// could not be made, like [localCause]. The error for the lack of a local port is the one for
// the lack of a local address too.
func sendCause(err error, source, to netip.Addr) scan.Cause {
	cause := localCause(err)
	if cause == scan.CauseSourcePorts && !hasSource(source, to) {
		return scan.CauseNoRoute
	}
	return cause
}

// hasSource reports whether this machine has a route to an address, and an address to send from.
// If the kernel does not answer, it returns true.
func hasSource(source, to netip.Addr) bool {
	_, _, err := routeOf(source, to)
	return !isUnroutable(err)
}
