// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"math"
	"net/netip"
	"sync/atomic"

	"portscan_exporter/internal/scan"
)

// attemptCount counts the packets that a scan sends, where they are sent. The pacers count
// attempts by port: without the further datagrams of an attempt, with attempts that this
// machine then did not make, and without those that it made after the results of the address.
// The reports of a scan add up to the packets: each has at most as many attempts as packets
// were sent and not reported, and one without a port has the rest.
type attemptCount struct {
	total          *atomic.Int64 // of all scans
	sent, reported atomic.Int64
}

func (a *attemptCount) addSent(packets int) {
	a.total.Add(int64(packets))
	a.sent.Add(int64(packets))
}

// take returns the number of packets that can be reported, at most the given number.
func (a *attemptCount) take(most int) int {
	for {
		reported := a.reported.Load()
		n := max(0, min(int64(most), a.sent.Load()-reported))
		if a.reported.CompareAndSwap(reported, reported+n) {
			return int(n)
		}
	}
}

// limitReports returns a report function that limits attempts to those that were sent.
func (a *attemptCount) limitReports(report func(scan.PortResult)) func(scan.PortResult) {
	return func(p scan.PortResult) {
		p.Attempts = a.take(p.Attempts)
		report(p)
	}
}

// reportRest reports the attempts that belong to no result, after the last result of a scan.
func (a *attemptCount) reportRest(addr netip.Addr, report func(scan.PortResult)) {
	if n := a.take(math.MaxInt); n > 0 {
		report(scan.PortResult{Address: addr, Ports: new(scan.PortSet), Attempts: n})
	}
}
