// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"context"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
)

// Tally counts the ports of a scan as its engine reports them. The zero value is ready
// to use. It may be used concurrently.
type Tally struct {
	total, done, open atomic.Int64              // ports, of all addresses
	started           atomic.Pointer[time.Time] // start of the engine; nil before
}

// Watch returns the engine with its reports counted.
func (t *Tally) Watch(engine scan.Scanner) scan.Scanner { return countedScanner{engine, t} }

type countedScanner struct {
	engine scan.Scanner
	tally  *Tally
}

// Scan implements [scan.Scanner].
func (c countedScanner) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	now := time.Now()
	c.tally.started.Store(&now)
	c.tally.total.Add(int64(len(req.Addresses())) * int64(req.Plan().Ports().Len()))
	return c.engine.Scan(ctx, req, func(p scan.PortResult) {
		if p.Control == nil {
			c.tally.count(p)
		}
		report(p)
	})
}

// doneCount returns the number of ports that are done. Ports that an engine has reported again,
// because their address has banned the scanner, count twice, but the total is never exceeded.
func (t *Tally) doneCount() int64 { return min(t.done.Load(), t.total.Load()) }

// count counts a result.
func (t *Tally) count(p scan.PortResult) {
	count := int64(p.Count())
	t.done.Add(count)
	if p.State == scan.Open {
		t.open.Add(count)
	}
}
