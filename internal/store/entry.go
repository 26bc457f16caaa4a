// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"container/list"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// entry has the results of a target and module.
type entry struct {
	id entryID

	// Guarded by the store's lock.
	place *list.Element // nil: without results
	size  int           // of the results in bytes

	// writing serializes the writers of full and records, which may read these without mu.
	writing sync.Mutex

	mu         sync.Mutex
	task       scan.Task // of the complete target, unless only an address was scanned so far
	configured bool      // task is the configuration's
	full       *fullScan // nil: the complete target was not scanned
	records    map[netip.Addr]*record
	unfinished map[netip.Addr]Unfinished // by the task's address
	evicted    map[netip.Addr]bool       // addresses of the full scan that were evicted
	changes    changeLog
	view       *View    // of the complete target; nil: to be computed
	summary    *Summary // nil: to be computed
	generation int      // rises with each change
}

// fullScan is the last scan of the complete target.
type fullScan struct {
	by        *scanInfo
	lookup    time.Duration
	failed    map[scan.Failure]error
	refused   []netip.Addr
	addresses []netip.Addr // in ascending order
}

// scanInfo describes a scan. It is immutable, and shared by the results of its addresses.
type scanInfo struct {
	id                string
	started, finished time.Time
	attempts, retries int
}

func newEntry(task scan.Task, configured bool) *entry {
	return &entry{
		id: entryID{task.Target, task.Module}, task: task, configured: configured,
		records: make(map[netip.Addr]*record), unfinished: make(map[netip.Addr]Unfinished),
	}
}

// keepFor returns how long the state of a port is shown that later scans do not know: until a sweep
// that started after max_age has reached its timeout, and then as long as its result is fresh.
// Without a max_age, an answer shows only its own scan.
func keepFor(task scan.Task) time.Duration {
	if task.MaxAge == 0 {
		return 0
	}
	return task.MaxAge + 2*task.Plan.Spec().Timeout
}

// touch invalidates what was computed. The caller holds the lock.
func (e *entry) touch() {
	e.view, e.summary = nil, nil
	e.generation++
}

// record adds the result of a scan. The new records are computed outside of the lock. If the
// configuration changed during the scan, the result is only part of the history, and if it changed
// the protocol, the result is dropped. modules has the entries of the target, in which its new hosts
// have not responded either.
func (e *entry) record(task scan.Task, id string, r *scan.Result, modules []*entry) (n news) {
	e.writing.Lock()
	defer e.writing.Unlock()
	current, old := e.begin(task, r)
	if current.Plan.Spec().Protocol != task.Plan.Spec().Protocol {
		return news{}
	}
	by := &scanInfo{id: id, started: r.Started, finished: r.Finished, attempts: r.Attempts, retries: r.Retries}
	same := current.Key().Digest == task.Key().Digest
	next := make(map[netip.Addr]*record, len(r.Addresses))
	for i := range r.Addresses {
		a := &r.Addresses[i]
		if _, ok := current.Scope.Match(a.IP); !ok {
			continue
		}
		rec := *cmp.Or(old[a.IP], &record{})
		if a.SuspectedBy() == scan.NotSuspect {
			n.learn(&rec, a, task, by, current.Hosts)
		}
		switch {
		case same:
			rec.setNewest(&scanned{result: *a, by: by}, keepFor(task))
		default:
			rec.restrict(current)
		}
		next[a.IP] = &rec
		n.grown += rec.size() - old[a.IP].size()
	}
	n.dropKnownHosts(modules)
	n.build(task, r.Finished)
	var full *fullScan
	if same && task.Addr == (netip.Addr{}) {
		full = e.newFull(task, by, r)
		n.grown -= e.hideMissing(full, next)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	maps.Copy(e.records, next)
	if full != nil {
		e.full, e.evicted = full, nil
	}
	before := e.changes.size()
	n.limit(e.changes.budget(r.Finished))
	e.changes.add(n.newHosts, n.changes)
	if same {
		maps.DeleteFunc(e.evicted, func(ip netip.Addr, _ bool) bool { return next[ip] != nil })
	}
	n.grown += e.changes.size() - before
	e.touch()
	return n
}

// hasResponded reports whether an address has responded to a scan.
func (e *entry) hasResponded(ip netip.Addr) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.records[ip]
	return r != nil && r.hasResponded()
}

// begin returns the entry's task and the records of the result's addresses.
func (e *entry) begin(task scan.Task, r *scan.Result) (current scan.Task, old map[netip.Addr]*record) {
	old = make(map[netip.Addr]*record, len(r.Addresses))
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.configured && (task.Addr == (netip.Addr{}) || e.task.Addr != (netip.Addr{})) {
		e.task = task
	}
	for i := range r.Addresses {
		if rec := e.records[r.Addresses[i].IP]; rec != nil {
			old[r.Addresses[i].IP] = rec
		}
	}
	return e.task, old
}

// newFull returns the scan of the complete target, or nil if the entry has a later one. Addresses
// that it did not find remain if their names may not have been resolved. The caller is the writer.
func (e *entry) newFull(task scan.Task, by *scanInfo, r *scan.Result) *fullScan {
	if e.full != nil && e.full.by.finished.After(by.finished) {
		return nil
	}
	full := &fullScan{by: by, lookup: r.Lookup, failed: r.Failed, refused: r.Refused}
	for i := range r.Addresses {
		full.addresses = append(full.addresses, r.Addresses[i].IP)
	}
	if e.full != nil && maybeUnresolved(r.Failed) && task.MaxAge > 0 {
		for _, ip := range e.full.addresses {
			if rec := e.records[ip]; rec != nil && rec.newest != nil {
				full.addresses = append(full.addresses, ip)
			}
		}
	}
	slices.SortFunc(full.addresses, netip.Addr.Compare)
	full.addresses = slices.Compact(full.addresses)
	return full
}

// hideMissing adds the records of addresses that a full scan lacks to next, without their results.
// It returns the bytes that this frees. The caller is the writer.
func (e *entry) hideMissing(full *fullScan, next map[netip.Addr]*record) (freed int) {
	if full == nil {
		return 0
	}
	for ip, rec := range e.records {
		if rec.newest == nil || rec.newest.by.finished.After(full.by.finished) {
			continue
		}
		if _, found := slices.BinarySearchFunc(full.addresses, ip, netip.Addr.Compare); !found {
			less := *rec
			less.newest, less.previous = nil, nil
			next[ip] = &less
			freed += rec.size() - less.size()
		}
	}
	return freed
}

// maybeUnresolved reports whether a scan with these failures may lack addresses of the target.
func maybeUnresolved(failed map[scan.Failure]error) bool {
	for f := range failed {
		if f != scan.FailedAddressRefused {
			return true
		}
	}
	return false
}

// evict removes the addresses whose last scan is the longest ago, to free at least some bytes,
// and returns the bytes and the number of addresses.
func (e *entry) evict(bytes int) (freed, addresses int) {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.mu.Lock()
	records := maps.Clone(e.records)
	e.mu.Unlock()
	ips := slices.SortedFunc(maps.Keys(records), func(a, b netip.Addr) int { return records[a].last.Compare(records[b].last) })
	for _, ip := range ips {
		if freed >= bytes {
			break
		}
		freed += records[ip].size()
		addresses++
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ip := range ips[:addresses] {
		delete(e.records, ip)
		e.miss(ip)
	}
	if addresses == len(ips) {
		for _, u := range e.unfinished {
			freed += u.size()
		}
		clear(e.unfinished)
		freed += e.changes.size()
		e.changes = changeLog{}
	}
	e.touch()
	return freed, addresses
}

// miss notes that the results of an address of the full scan were evicted. The caller holds the
// lock.
func (e *entry) miss(ip netip.Addr) {
	if e.full == nil {
		return
	}
	if _, found := slices.BinarySearchFunc(e.full.addresses, ip, netip.Addr.Compare); found {
		if e.evicted == nil {
			e.evicted = make(map[netip.Addr]bool)
		}
		e.evicted[ip] = true
	}
}

// reconfigure sets the task of the configuration, and returns the bytes that this frees.
func (e *entry) reconfigure(task scan.Task) (freed int) {
	e.writing.Lock()
	defer e.writing.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	same, before := e.task.Key().Digest == task.Key().Digest, e.task
	if !e.configured || !same {
		e.touch()
	}
	e.task, e.configured = task, true
	if same {
		return 0
	}
	return e.removeOutdated(before)
}

// removeOutdated removes the results of an earlier task, and the history of what the task no longer
// has. It returns the bytes that this frees. The caller holds the lock.
func (e *entry) removeOutdated(earlier scan.Task) (freed int) {
	task := e.task
	before := e.totalSize()
	e.full, e.evicted = nil, nil
	clear(e.unfinished)
	for ip, rec := range e.records {
		_, ok := task.Scope.Match(ip)
		if !ok || earlier.Plan.Spec().Protocol != task.Plan.Spec().Protocol {
			delete(e.records, ip)
			continue
		}
		less := *rec
		less.newest, less.previous = nil, nil
		less.restrict(task)
		e.records[ip] = &less
	}
	e.changes.keep(task)
	return before - e.totalSize()
}

// totalSize returns the size of the entry. The caller holds the lock.
func (e *entry) totalSize() (bytes int) {
	for _, rec := range e.records {
		bytes += rec.size()
	}
	for _, u := range e.unfinished {
		bytes += u.size()
	}
	return bytes + e.changes.size()
}
