// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"time"

	"portscan_exporter/internal/scan"
)

// View has the results of a task for an answer: of each address the newest ones. It is read-only
// and may be used concurrently. The store returns the same view until a result changes.
type View struct {
	// Result has the states to show. Started and Finished are those of its oldest address,
	// the failures and attempts those of the last scan.
	Result  *scan.Result
	History History
	ScanID  string // of the last scan

	// Unverified has the numbers of ports that the newest scan of their address does not
	// know. Result may have earlier states of them.
	Unverified map[scan.Cause]int

	ended time.Time // the last scan
	until time.Time // when earlier states become too old; zero: never
}

// Complete reports whether the newest scan of each address is complete, and no scan failed.
func (v *View) Complete() bool { return len(v.Unverified) == 0 && v.Result.Success() }

// IsFresh reports whether the view answers a probe for the task without a new scan. Incomplete
// results do so for the timeout of a scan, so that scans do not follow each other without a
// pause, unless the last scan sent nothing.
func (v *View) IsFresh(task scan.Task, now time.Time) bool {
	if v.Complete() {
		age := now.Sub(v.Result.Finished)
		return age >= 0 && age <= task.MaxAge
	}
	age := now.Sub(v.ended)
	return v.Result.Attempts > 0 && age >= 0 && age <= task.Plan.Spec().Timeout
}

// View returns the results of a task, or nil if there are none or some were evicted.
func (s *Store) View(task scan.Task, now time.Time) *View {
	e := s.find(task)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	if e.task.Key().Digest != task.Key().Digest {
		e.mu.Unlock()
		return nil
	}
	if task.Addr.IsValid() {
		rec := e.records[task.Addr]
		e.mu.Unlock()
		return newAddressView(task, rec, now)
	}
	v, generation := e.view, e.generation
	full, evicted, records := e.full, len(e.evicted), []*record(nil)
	if v == nil || !v.until.IsZero() && now.After(v.until) {
		v, records = nil, e.fullRecords()
	}
	e.mu.Unlock()
	if v != nil || full == nil || evicted > 0 {
		return v
	}
	v = newView(task, full, records, now)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.generation == generation {
		e.view = v
	}
	return v
}

// fullRecords returns the records of the full scan's addresses. The caller holds the lock.
func (e *entry) fullRecords() (records []*record) {
	if e.full == nil {
		return nil
	}
	for _, ip := range e.full.addresses {
		records = append(records, e.records[ip])
	}
	return records
}

// newView returns the view of the complete target.
func newView(task scan.Task, full *fullScan, records []*record, now time.Time) *View {
	v := &View{
		Result: &scan.Result{
			Plan: task.Plan, Started: full.by.started, Finished: full.by.finished, Lookup: full.lookup, Refused: full.refused,
			Failed: full.failed, Attempts: full.by.attempts, Retries: full.by.retries,
		},
		ScanID: full.by.id, ended: full.by.finished,
	}
	v.addRecords(records, keepFor(task), now)
	return v
}

// newAddressView returns the view of one address, or nil if it has no result.
func newAddressView(task scan.Task, rec *record, now time.Time) *View {
	if rec == nil || rec.newest == nil {
		return nil
	}
	by := rec.newest.by
	v := &View{
		Result: &scan.Result{Plan: task.Plan, Started: by.started, Finished: by.finished, Attempts: by.attempts, Retries: by.retries},
		ScanID: by.id, ended: by.finished,
	}
	v.addRecords([]*record{rec}, keepFor(task), now)
	return v
}

// addRecords adds the results of addresses.
func (v *View) addRecords(records []*record, keep time.Duration, now time.Time) {
	v.Unverified, v.History.byIP = make(map[scan.Cause]int), make(map[netip.Addr]*record, len(records))
	for _, rec := range records {
		s, until := rec.shown(now, keep)
		for cause, n := range rec.newest.result.UnknownByCause() {
			v.Unverified[cause] += n
		}
		v.Result.Addresses = append(v.Result.Addresses, s.result)
		v.History.byIP[rec.newest.result.IP] = rec
		if rec.newest.by.finished.Before(v.Result.Finished) {
			v.Result.Started, v.Result.Finished = rec.newest.by.started, rec.newest.by.finished
		}
		if !until.IsZero() && (v.until.IsZero() || until.Before(v.until)) {
			v.until = until
		}
	}
}

// History returns the port history of a result's addresses.
func (s *Store) History(task scan.Task, r *scan.Result) History {
	h := History{byIP: make(map[netip.Addr]*record, len(r.Addresses))}
	if e := s.find(task); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i := range r.Addresses {
			h.byIP[r.Addresses[i].IP] = e.records[r.Addresses[i].IP]
		}
	}
	return h
}

// maxWatched is the maximum number of ports that a scan watches because they were open once.
const maxWatched = 1000

// Opened returns the ports that were open once on one of the addresses; of too many, those of the
// first addresses.
func (s *Store) Opened(task scan.Task, found []scan.Address) (ports scan.PortSet) {
	for _, r := range s.records(task, found) {
		if r == nil || r.opened.IsEmpty() {
			continue
		}
		more := ports.Union(r.opened)
		if more.Len() > maxWatched {
			break
		}
		ports = more
	}
	return ports
}

// Known returns the states of ports in the last complete scan of each address, of those that the
// address responded to and that began after oldest.
func (s *Store) Known(task scan.Task, addresses []scan.Address, oldest time.Time) map[netip.Addr]scan.Known {
	known := make(map[netip.Addr]scan.Known)
	records := s.records(task, addresses)
	for i, a := range addresses {
		r := records[i]
		if r == nil || r.baseline == nil || r.baseline.started.Before(oldest) || r.lastResponse.Before(r.baseline.started) {
			continue // the last: it has never responded to a complete scan
		}
		states := r.baseline.states
		known[a.IP] = scan.Known{Open: states[scan.Open], Closed: states[scan.Closed], Filtered: states[scan.Filtered]}
	}
	return known
}

// records returns the records of addresses, nil for those without one.
func (s *Store) records(task scan.Task, addresses []scan.Address) []*record {
	all := make([]*record, len(addresses))
	if e := s.find(task); e != nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		for i, a := range addresses {
			all[i] = e.records[a.IP.Unmap()]
		}
	}
	return all
}
