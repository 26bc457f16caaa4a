package terminal

import (
	"context"
	"sync/atomic"
	"time"

	"portscan_exporter/internal/scan"
)

// Tally counts the ports of a scan as its engine reports them. The zero value has
// counted nothing. It may be used concurrently.
type Tally struct {
	all, done, open atomic.Int64              // ports of addresses
	begun           atomic.Pointer[time.Time] // when the engine was; nil: not yet
}

// Watch returns an engine whose scans are counted.
func (t *Tally) Watch(engine scan.Scanner) scan.Scanner { return watched{engine, t} }

type watched struct {
	engine scan.Scanner
	tally  *Tally
}

// Scan implements [scan.Scanner].
func (w watched) Scan(ctx context.Context, req scan.Request, report func(scan.PortResult)) error {
	now := time.Now()
	w.tally.begun.Store(&now)
	w.tally.all.Add(int64(len(req.Addresses())) * int64(req.Plan().Ports().Len()))
	return w.engine.Scan(ctx, req, func(p scan.PortResult) {
		w.tally.done.Add(1) // an engine reports a port once
		if p.State == scan.Open {
			w.tally.open.Add(1)
		}
		report(p)
	})
}
