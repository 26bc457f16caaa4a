// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"portscan_exporter/internal/engine/pace"
	"portscan_exporter/internal/scan"
)

// recheckSample is the number of open and of closed ports of an address to try again.
const recheckSample = 6

// scanAnswers has the answers of each address in a scan that matter to [WithControl].
type scanAnswers map[netip.Addr]*addressAnswers

// addressAnswers has the answers of an address. The fields after the lock may be read at the
// end of the scan.
type addressAnswers struct {
	plan *scan.Plan

	mu             sync.Mutex
	open           int           // ports
	notOpen        int           // ports in another known state
	undeclaredOpen int           // ports
	attemptsLeft   int           // those that may be tried again
	longest        time.Duration // round trip of an open port
	closedSample   []uint16      // the last closed ports
	openSample     []uint16      // open ports that the target does not declare
	unresponsive   bool          // the address has stopped to answer
}

func newScanAnswers(req scan.Request) scanAnswers {
	plan := req.Plan()
	all := make(scanAnswers)
	for _, a := range req.Addresses() {
		all[a.IP] = &addressAnswers{plan: &plan}
	}
	return all
}

// note notes a result.
func (s scanAnswers) note(p scan.PortResult) {
	a := s[p.Address]
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.State == scan.Unknown {
		a.unresponsive = a.unresponsive || p.Cause == scan.CauseUnresponsive
		return
	}
	if p.State != scan.Open {
		a.notOpen += p.Count()
		if p.State == scan.Closed && p.Ports == nil {
			a.noteClosed(p.Port)
		}
		return
	}
	a.open += p.Count()
	a.longest = max(a.longest, p.RTT)
	if p.Ports == nil && !a.plan.Declared(p.Port) {
		a.noteUndeclared(p)
	}
}

// noteClosed keeps the last closed ports. The caller holds the lock.
func (a *addressAnswers) noteClosed(port uint16) {
	if len(a.closedSample) < recheckSample {
		a.closedSample = append(a.closedSample, port)
		return
	}
	a.closedSample[a.notOpen%recheckSample] = port
}

// noteUndeclared keeps random ports of the open ones. The pacer may have checked the first, so
// they can have had further attempts. The caller holds the lock.
func (a *addressAnswers) noteUndeclared(p scan.PortResult) {
	a.undeclaredOpen++
	if p.Attempts >= a.plan.Spec().MaxOpenAttempts {
		return
	}
	a.attemptsLeft++
	count := a.attemptsLeft - pace.MaxOpenPorts
	switch {
	case count <= 0:
	case len(a.openSample) < recheckSample:
		a.openSample = append(a.openSample, p.Port)
	default:
		if i := rand.IntN(count); i < recheckSample { //nolint:gosec // needs no cryptographic randomness
			a.openSample[i] = p.Port
		}
	}
}

// timeout returns the time after which a port is silent that would have answered like the
// open ones.
func (a *addressAnswers) timeout() time.Duration {
	const margin = 3
	return margin * a.longest
}
