// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"container/list"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"portscan_exporter/internal/scan"
)

// maxSize is the maximum size of all results and histories, in bytes. It is an estimate.
const maxSize = 128 << 20

// Store holds the results of scans. Create stores with [New]. They may be used concurrently.
type Store struct {
	logger *slog.Logger
	limit  int    // of size
	saver  *saver // nil: without a state file

	version    atomic.Int64  // rises with each change that is worth saving
	recorded   atomic.Int64  // rises with each result
	saveSignal chan struct{} // has an element after a change of version

	mu         sync.Mutex
	configured bool // by Reconfigure, which replaces the maps; until then, obtain adds to them
	entries    map[entryID]*entry
	byTarget   map[string][]*entry
	used       list.List // of *entry with results, the last used first
	size       int       // of all entries

	reconfiguring sync.Mutex
	evicting      sync.Mutex // serializes evictions
}

// entryID identifies an entry.
type entryID struct{ target, module string }

// New returns an empty store that logs changes of port states.
func New(logger *slog.Logger) (*Store, error) {
	if logger == nil {
		return nil, errors.New("store.New: logger is required")
	}
	return &Store{
		logger: logger, limit: maxSize, saveSignal: make(chan struct{}, 1),
		entries: make(map[entryID]*entry), byTarget: make(map[string][]*entry),
	}, nil
}

// find returns the entry of a task and marks it as used, or nil.
func (s *Store) find(task scan.Task) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[entryID{task.Target, task.Module}]
	s.markUsed(e)
	return e
}

// markUsed makes an entry with results the last used one. The caller holds the lock.
func (s *Store) markUsed(e *entry) {
	if e != nil && e.place != nil {
		s.used.MoveToFront(e.place)
	}
}

// obtain returns the entry of a task and marks it as used. It is new if there is none, or nil if
// the configuration does not have the task.
func (s *Store) obtain(task scan.Task) *entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[entryID{task.Target, task.Module}]
	if e == nil && !s.configured {
		e = newEntry(task, false)
		s.entries[e.id] = e
		s.byTarget[e.id.target] = append(s.byTarget[e.id.target], e)
	}
	s.markUsed(e)
	return e
}

// Record adds the result of a scan, and logs changes of port states. id is the scan's.
func (s *Store) Record(task scan.Task, id string, r *scan.Result) {
	e := s.obtain(task)
	if e == nil {
		return // removed from the configuration during the scan
	}
	n := e.record(task, id, r, s.all(task.Target))
	n.evicted = s.grow(e, n.grown)
	s.recorded.Add(1)
	if n.altered || task.MaxAge > 0 {
		s.alter()
	}
	n.log(s.logger, task)
}

// grow adds to the size of an entry that has changed, and evicts addresses if the store has
// become too large. It returns the number of evicted addresses.
func (s *Store) grow(e *entry, bytes int) (evicted int) {
	s.mu.Lock()
	s.resize(e, bytes)
	over := s.size > s.limit
	s.mu.Unlock()
	if over {
		return s.evict()
	}
	return 0
}

// resize changes the size of an entry, unless it was removed. The caller holds the lock.
func (s *Store) resize(e *entry, bytes int) {
	if s.entries[e.id] != e {
		return
	}
	s.size += bytes
	e.size += bytes
	switch {
	case e.size <= 0 && e.place != nil:
		s.used.Remove(e.place)
		e.place = nil
	case e.size > 0 && e.place == nil:
		e.place = s.used.PushFront(e)
	}
}

// evict removes addresses of the entries that were used least recently, until the store is a
// sixteenth below its limit.
func (s *Store) evict() (evicted int) {
	s.evicting.Lock()
	defer s.evicting.Unlock()
	const share = 16 // of the limit is freed at once, because it takes time to sort addresses
	for {
		s.mu.Lock()
		excess, place := s.size-(s.limit-s.limit/share), s.used.Back()
		s.mu.Unlock()
		if excess <= 0 || place == nil {
			return evicted
		}
		e := place.Value.(*entry) //nolint:forcetypeassert // used holds only these
		freed, addresses := e.evict(excess)
		if freed == 0 { // another goroutine is about to subtract what it has removed
			return evicted
		}
		evicted += addresses
		s.mu.Lock()
		s.resize(e, -freed)
		s.mu.Unlock()
	}
}

// Reconfigure applies a configuration with these tasks, which are all its targets with each of
// their modules. It removes what the configuration no longer has: entries, the results of changed
// tasks, and the history of addresses and ports that are no longer part of them.
func (s *Store) Reconfigure(tasks []scan.Task) {
	s.reconfiguring.Lock()
	defer s.reconfiguring.Unlock()
	s.mu.Lock()
	s.configured = true
	old := s.entries
	s.mu.Unlock()
	entries, byTarget := make(map[entryID]*entry, len(tasks)), make(map[string][]*entry)
	for _, task := range tasks {
		e := old[entryID{task.Target, task.Module}]
		if e == nil {
			e = newEntry(task, true)
		} else if freed := e.reconfigure(task); freed != 0 {
			s.grow(e, -freed)
		}
		entries[e.id] = e
		byTarget[e.id.target] = append(byTarget[e.id.target], e)
	}
	s.mu.Lock()
	for id, e := range old {
		if entries[id] != e {
			s.resize(e, -e.size)
		}
	}
	s.entries, s.byTarget = entries, byTarget
	s.mu.Unlock()
	s.alter()
}

// all returns the entries of a target, or all entries if target is empty.
func (s *Store) all(target string) []*entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if target != "" {
		return append([]*entry(nil), s.byTarget[target]...)
	}
	entries := make([]*entry, 0, len(s.entries))
	for _, e := range s.entries {
		entries = append(entries, e)
	}
	return entries
}
