// Package scan holds the words of the house and nothing else: what a scan will
// cover ([Plan]), whom it may touch ([Scope], [Request]), what came back
// ([PortResult], [Result]) and who does the work ([Scanner]).
//
// It is the ground floor: it imports nothing of ours, opens no socket and reads
// no clock. Every type here is a value that may be read from any number of
// goroutines; [Recorder] alone changes, and guards itself.
package scan

import (
	"context"
	"errors"
)

// ErrUncheckedRequest is what a [Scanner] answers to a zero [Request]: one that
// [NewRequest] has not checked.
var ErrUncheckedRequest = errors.New("scan request was not checked: only scan.NewRequest makes one")

// A Scanner is an engine: it finds out the state of every port of the plan on
// every address of the request.
//
// Scan calls report once for every port that it has touched; report may be
// called from several goroutines at once. A port's state is a result and never
// an error: what could not be found out is reported as [Unknown] with its
// [Cause], and ports that are not reported at all were not reached. An error
// means that the scan itself could not be done.
//
// Scan returns soon after ctx is done, and by then has ended every goroutine
// and socket of its own and calls report no more. It may be called concurrently.
type Scanner interface {
	Scan(ctx context.Context, req Request, report func(PortResult)) error
}
