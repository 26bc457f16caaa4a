// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"time"

	"portscan_exporter/internal/scan"
)

// Unfinished is the result so far of a scan that is running or was suspended.
type Unfinished struct {
	Task   scan.Task
	ID     string // of the scan
	Result *scan.Result
}

// expired reports whether the scan has no time left to resume.
func (u Unfinished) expired(now time.Time) bool {
	return now.Sub(u.Result.Started) >= u.Task.Plan.Spec().Timeout
}

// size returns about how many bytes the scan takes.
func (u Unfinished) size() int {
	const base = 1500 // for the task and the result without addresses
	return base + u.Result.Size()
}

// Suspend stores the result so far of a scan that ends early, so that the next scan of the task
// resumes it.
func (s *Store) Suspend(task scan.Task, id string, r *scan.Result) {
	e := s.obtain(task)
	if e == nil {
		return
	}
	e.mu.Lock()
	if e.task.Key().Digest != task.Key().Digest {
		e.mu.Unlock()
		return
	}
	u := Unfinished{Task: task, ID: id, Result: r}
	bytes := u.size()
	if old, ok := e.unfinished[task.Addr]; ok {
		bytes -= old.size()
	}
	e.unfinished[task.Addr] = u
	e.mu.Unlock()
	s.grow(e, bytes)
	s.alter()
}

// Resume returns the result so far of a suspended scan of the task, and removes it from the store,
// or returns nil. A scan without time left ends: its result is recorded.
func (s *Store) Resume(task scan.Task, now time.Time) *scan.Result {
	e := s.find(task)
	if e == nil {
		return nil
	}
	e.mu.Lock()
	u, ok := e.unfinished[task.Addr]
	ok = ok && e.task.Key().Digest == task.Key().Digest
	if ok {
		delete(e.unfinished, task.Addr)
	}
	e.mu.Unlock()
	if !ok {
		return nil
	}
	s.grow(e, -u.size())
	s.alter()
	if u.expired(now) {
		s.Record(u.Task, u.ID, u.Result)
		return nil
	}
	return u.Result
}
