// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"container/list"
	"context"
	"fmt"
	"sync"
)

// semaphore is a counting semaphore with an adjustable limit and fair queuing by key:
// waiters with the same key are served in order of arrival, and keys take turns, so that
// many waiters with one key do not delay the others. It may be used concurrently.
type semaphore struct {
	mu     sync.Mutex
	limit  int
	held   int
	queues map[string]*waitQueue // by key; none is empty
	turns  list.List             // of *waitQueue, the next one to serve first
}

// waitQueue has the waiters with one key.
type waitQueue struct {
	key     string
	waiters list.List     // of chan struct{}, closed on acquisition
	turn    *list.Element // in semaphore.turns
}

// newSemaphore returns a semaphore with the limit, at least 1.
func newSemaphore(limit int) (*semaphore, error) {
	if limit < 1 {
		return nil, fmt.Errorf("limit is %d, must be at least 1", limit)
	}
	return &semaphore{limit: limit, queues: make(map[string]*waitQueue)}, nil
}

// acquire waits for a slot, which the caller must release. If ctx ends first, acquire
// returns its error and takes no slot.
func (s *semaphore) acquire(ctx context.Context, key string) error {
	s.mu.Lock()
	if s.held < s.limit && s.turns.Len() == 0 {
		s.held++
		s.mu.Unlock()
		return nil
	}
	q, ok := s.queues[key]
	if !ok {
		q = &waitQueue{key: key}
		q.turn = s.turns.PushBack(q)
		s.queues[key] = q
	}
	acquired := make(chan struct{})
	waiter := q.waiters.PushBack(acquired)
	s.mu.Unlock()

	select {
	case <-acquired:
		return nil
	case <-ctx.Done():
		return s.cancel(ctx, q, waiter, acquired)
	}
}

// cancel removes a waiter, unless it has acquired a slot at the same moment.
func (s *semaphore) cancel(ctx context.Context, q *waitQueue, waiter *list.Element, acquired chan struct{}) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-acquired:
		return nil
	default:
		q.waiters.Remove(waiter)
		s.removeIfEmpty(q)
		return ctx.Err()
	}
}

func (s *semaphore) removeIfEmpty(q *waitQueue) {
	if q.waiters.Len() == 0 {
		s.turns.Remove(q.turn)
		delete(s.queues, q.key)
	}
}

// release returns a slot.
func (s *semaphore) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held--
	s.grant()
}

// setLimit sets the limit, to 1 if it is lower. Slots above a lower limit stay held until
// they are released.
func (s *semaphore) setLimit(limit int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(1, limit)
	s.grant()
}

// grant gives free slots to waiters, one per key in turn.
func (s *semaphore) grant() {
	for s.held < s.limit && s.turns.Len() > 0 {
		q := s.turns.Front().Value.(*waitQueue)                    //nolint:forcetypeassert // turns holds only these
		close(q.waiters.Remove(q.waiters.Front()).(chan struct{})) //nolint:forcetypeassert // waiters holds only these
		s.turns.MoveToBack(q.turn)
		s.removeIfEmpty(q)
		s.held++
	}
}

// acquiredSlots returns the number of slots that are held.
func (s *semaphore) acquiredSlots() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}

// hasFree reports whether a slot is free.
func (s *semaphore) hasFree() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held < s.limit
}

// maximum returns the limit.
func (s *semaphore) maximum() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limit
}
