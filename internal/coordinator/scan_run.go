// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// scanRun has the results so far of a scan. It may be used concurrently.
type scanRun struct {
	task    scan.Task
	named   bool         // there are names to resolve
	started time.Time    // of the scan that this one resumes, or of this one
	began   time.Time    // of this one
	until   time.Time    // end of this one, as its probes are at the start
	before  *scan.Result // of the scan that this one resumes; nil: none

	// done has the ports with results of the scan that this one resumes. It is set before the
	// engine starts.
	done map[netip.Addr]scan.PortSet

	mu       sync.Mutex
	lookup   time.Duration
	refused  []netip.Addr
	noRoute  []netip.Addr // addresses to which this machine cannot send
	failed   map[scan.Failure]error
	recorder *scan.Recorder // nil until the addresses are known
	final    *scan.Result   // nil until the engine has returned
}

// newScanRun returns the results of a scan that starts now, or that resumes an earlier one.
func newScanRun(task scan.Task, before *scan.Result) *scanRun {
	now := time.Now()
	run := &scanRun{
		task: task, named: slices.ContainsFunc(task.Hosts, scan.Host.IsName),
		started: now, began: now, before: before, failed: make(map[scan.Failure]error),
	}
	if before != nil {
		run.started = before.Started
	}
	return run
}

// resolved sets the duration of name resolution and its failures.
func (r *scanRun) resolved(now time.Time, failed map[scan.Failure]error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lookup = now.Sub(r.began)
	maps.Copy(r.failed, failed)
}

var (
	errAddressRefused = errors.New("resolved address is outside the target networks")
	errNoAddress      = errors.New("no address to scan")
	errNotResolved    = errors.New("resolving names: timeout")
)

// begin sets the request of the complete scan, and the refused ones of the found addresses.
func (r *scanRun) begin(req scan.Request, refused []netip.Addr, found []scan.Address) error {
	recorder, err := scan.NewRecorder(req)
	if err != nil {
		return fmt.Errorf("recording results: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.recorder, r.refused = recorder, refused
	if len(refused) > 0 {
		r.failed[scan.FailedAddressRefused] = newRefusedError(refused, found)
	}
	if len(req.Addresses()) == 0 && len(r.failed) == 0 {
		r.failed[scan.FailedDNS] = errNoAddress
	}
	return nil
}

// record records a result. Ports without a result keep that of the scan that this one resumes.
func (r *scanRun) record(p scan.PortResult) {
	if done := r.done[p.Address]; p.State == scan.Unknown && p.Control == nil && !done.IsEmpty() {
		ports := scan.NewPortSet(p.Port)
		if p.Ports != nil {
			ports = *p.Ports
		}
		ports = ports.Minus(done)
		p.Ports = &ports
	}
	if p.Unroutable {
		r.mu.Lock()
		r.noRoute = append(r.noRoute, p.Address)
		r.mu.Unlock()
	}
	r.recorder.Record(p)
}

// unroutableAddresses returns the addresses of a family to which this machine cannot send.
func (r *scanRun) unroutableAddresses(ipv4 bool) []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.noRoute), func(addr netip.Addr) bool { return addr.Is4() != ipv4 })
}

// fail sets a failure, unless the scan has ended.
func (r *scanRun) fail(f scan.Failure, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final == nil {
		r.failed[f] = err
	}
}

// finish returns the final result.
func (r *scanRun) finish(now time.Time) *scan.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.final = r.snapshot(now)
	return r.final
}

// canceled returns the reason why the scan was canceled, if it was.
func (r *scanRun) canceled() map[scan.Failure]error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.failed[scan.FailedCanceled]; err != nil {
		return map[scan.Failure]error{scan.FailedCanceled: err}
	}
	return nil
}

// progress returns the ratio of ports with a result, from 0 to 1; 0 of a scan that is queued.
func (r *scanRun) progress() float64 {
	if r == nil {
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recorder == nil {
		return 0
	}
	return r.recorder.Progress()
}

// result returns the results so far. Ports without a result are unknown with cause deadline.
func (r *scanRun) result() *scan.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.final != nil {
		return r.final
	}
	return r.snapshot(time.Now())
}

// soFar returns the results so far, for a scan that resumes this one. Results of the scan that this
// one resumes remain if this one does not have their addresses, because names may not have been
// resolved yet.
func (r *scanRun) soFar() *scan.Result {
	r.mu.Lock()
	known := r.recorder != nil
	r.mu.Unlock()
	switch {
	case r.before == nil:
		return r.result()
	case !known:
		return r.before
	default:
		return withAddressesOf(r.result(), r.before)
	}
}

// snapshot returns the results so far. The caller holds the lock.
func (r *scanRun) snapshot(now time.Time) *scan.Result {
	result := &scan.Result{
		Plan: r.task.Plan, Started: r.started, Finished: now, Lookup: r.lookup, Refused: r.refused, Failed: maps.Clone(r.failed),
	}
	if r.recorder == nil {
		if len(result.Failed) == 0 && r.named {
			result.Failed[scan.FailedDNS] = errNotResolved
			result.Lookup = now.Sub(r.began)
		}
		return result
	}
	missing := scan.CauseDeadline
	if result.Failed[scan.FailedInternal] != nil {
		missing = scan.CauseInternal
	}
	result.Addresses, result.Attempts, result.Retries = r.recorder.Snapshot(missing)
	if r.before != nil {
		result.Attempts, result.Retries = result.Attempts+r.before.Attempts, result.Retries+r.before.Retries
	}
	return result
}

// attempts returns the number of attempts of this scan, without those of one that it resumes.
func (r *scanRun) attempts() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.final == nil || r.recorder == nil:
		return 0
	case r.before != nil:
		return r.final.Attempts - r.before.Attempts
	default:
		return r.final.Attempts
	}
}
