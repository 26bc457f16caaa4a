// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package scan defines the domain types that all other packages share: the ports of a
// scan ([Plan]), the addresses that it may touch ([Scope], [Request]), its results
// ([PortResult], [Result]) and the interface of engines ([Scanner]).
//
// The package imports no other package of this module, opens no sockets and reads no
// clock. All types may be used concurrently. Only [Recorder] is mutable, and it locks.
package scan

import (
	"context"
	"errors"
)

// ErrUncheckedRequest is the error for a zero [Request], which [NewRequest] has not checked.
var ErrUncheckedRequest = errors.New("unchecked scan request: use scan.NewRequest")

// Scanner is an engine. It determines the state of each port of the plan on each address
// of the request.
//
// Scan calls report for each port that it has tried, possibly from several goroutines at once.
// Another report of a port replaces the earlier one, for example if a ban has turned out to be
// the cause of its state. One call may report several ports with the same result ([PortResult].Ports). A
// port's state is a result, never an error: if an engine cannot determine a state, it
// reports [Unknown] with a [Cause]. Ports that are not reported were not tried. Each report
// has the time of the address's last response so far. An error means that the scan could not
// be run.
//
// Scan returns soon after ctx is done. It has then stopped its goroutines, closed its
// sockets, and no longer calls report. It may be called concurrently.
type Scanner interface {
	Scan(ctx context.Context, req Request, report func(PortResult)) error
}
