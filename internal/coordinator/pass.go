// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// pass is one scan on its way: what is known of it so far. It may be used
// concurrently.
type pass struct {
	plan    scan.Plan
	named   bool // there are names to resolve
	started time.Time
	began   time.Time    // in this program
	before  *scan.Result // what is known already; nil: nothing

	mu       sync.Mutex
	finished time.Time // zero while under way
	lookup   time.Duration
	refused  []netip.Addr
	failed   map[scan.Failure]error
	recorder *scan.Recorder // nil until the addresses are known
	final    *scan.Result   // once it has finished
}

// newPass returns a pass that begins now, or one that goes on with what is known from
// before, if that is not nil.
func newPass(task scan.Task, before *scan.Result) *pass {
	p := &pass{
		plan:    task.Plan,
		named:   slices.ContainsFunc(task.Hosts, scan.Host.IsName),
		started: time.Now(),
		began:   time.Now(),
		before:  before,
		failed:  make(map[scan.Failure]error),
	}
	if before != nil {
		p.started = before.Started
	}
	return p
}

// resolved notes how long the names took and which of them failed.
func (p *pass) resolved(now time.Time, failed map[scan.Failure]error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lookup = now.Sub(p.began)
	maps.Copy(p.failed, failed)
}

var (
	errAddressRefused = errors.New("resolved address is outside the target networks")
	errNoAddress      = errors.New("no address to scan")
	errNotResolved    = errors.New("resolving names: timeout")
)

// begin takes the request that is about to be scanned.
func (p *pass) begin(req scan.Request, refused []netip.Addr) error {
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.recorder, p.refused = recorder, refused
	if len(refused) > 0 {
		p.failed[scan.FailedAddressRefused] = errAddressRefused
	}
	if len(req.Addresses()) == 0 && len(p.failed) == 0 {
		p.failed[scan.FailedDNS] = errNoAddress
	}
	return nil
}

func (p *pass) record(r scan.PortResult) { p.recorder.Record(r) }

func (p *pass) fail(f scan.Failure, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.final == nil { // what comes afterwards does not change what was found
		p.failed[f] = err
	}
}

func (p *pass) finish(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = now
	p.final = p.now()
}

// ended tells whether the pass has finished by itself.
func (p *pass) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.final != nil && p.failed[scan.FailedCanceled] == nil
}

// canceled returns why the pass was ended before its time, if it was.
func (p *pass) canceled() map[scan.Failure]error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.failed[scan.FailedCanceled]; err != nil {
		return map[scan.Failure]error{scan.FailedCanceled: err}
	}
	return nil
}

// progress returns how far a pass is, from 0 to 1; 0 of one that has not begun.
func (p *pass) progress() float64 {
	if p == nil {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.recorder == nil {
		return 0
	}
	return p.recorder.Progress()
}

// result returns what is known now. A pass still under way ends here for its
// probe: what was not reached by now was not reached in time.
func (p *pass) result() *scan.Result {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.final != nil {
		return p.final
	}
	return p.now()
}

// now makes the result of this moment. The caller holds the lock.
func (p *pass) now() *scan.Result {
	r := &scan.Result{
		Plan:     p.plan,
		Started:  p.started,
		Finished: p.finished,
		Lookup:   p.lookup,
		Refused:  p.refused,
		Failed:   maps.Clone(p.failed),
	}
	if r.Finished.IsZero() {
		r.Finished = time.Now()
	}
	if p.recorder == nil {
		if len(r.Failed) == 0 && p.named {
			r.Failed[scan.FailedDNS] = errNotResolved
			r.Lookup = r.Finished.Sub(p.began)
		}
		return r
	}
	missing := scan.CauseDeadline
	if r.Failed[scan.FailedInternal] != nil {
		missing = scan.CauseInternal
	}
	r.Addresses, r.Attempts, r.Retries = p.recorder.Snapshot(missing)
	if p.before != nil {
		r.Attempts, r.Retries = r.Attempts+p.before.Attempts, r.Retries+p.before.Retries
	}
	return r
}
