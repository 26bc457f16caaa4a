// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"errors"
	"net/netip"

	"portscan_exporter/internal/scan"
)

// Question is a DNS question for the addresses of a name.
type Question struct {
	Name    string           // absolute, or a single label if the system's search domains apply
	Family  scan.Family      // [scan.IPv4] or [scan.IPv6]
	Servers []netip.AddrPort // asked in order; empty: those of the system
}

// recordType returns the type of the records that the question is about.
func (q Question) recordType() string {
	if q.Family == scan.IPv6 {
		return "AAAA"
	}
	return "A"
}

// Definite answers that have no address. They are not failures of a lookup.
var (
	ErrNoName    = errors.New("no such name")
	ErrNoAddress = errors.New("no address")
)

// hasNone reports whether the error is a definite answer.
func hasNone(err error) bool { return errors.Is(err, ErrNoName) || errors.Is(err, ErrNoAddress) }

// answer is the answer to a question.
type answer struct {
	question Question
	addrs    []netip.Addr
	err      error
}

// isDefinite reports whether no server can change the answer.
func (a answer) isDefinite() bool { return a.err == nil || hasNone(a.err) }

// errTimeout is the error of a question to which no answer has come in time.
var errTimeout error = timeoutError{}

type timeoutError struct{}

func (timeoutError) Error() string { return "no answer (timeout)" }

// Is reports whether the target is [context.DeadlineExceeded].
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// endOf returns the reason why the context has ended.
func endOf(ctx context.Context) error {
	if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return errTimeout
}
