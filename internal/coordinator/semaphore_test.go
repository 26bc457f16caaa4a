// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func makeSemaphore(t *testing.T, limit int) *semaphore {
	t.Helper()
	s, err := newSemaphore(limit)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func acquire(t *testing.T, s *semaphore) {
	t.Helper()
	if err := s.acquire(t.Context(), "key"); err != nil {
		t.Errorf("acquire() = %v, want nil", err)
	}
}

// wantSlots checks the number of held slots and the limit.
func wantSlots(t *testing.T, s *semaphore, held, limit int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held != held || s.limit != limit {
		t.Errorf("got %d of %d slots held, want %d of %d", s.held, s.limit, held, limit)
	}
}

func TestNewSemaphoreWithoutSlots(t *testing.T) {
	t.Parallel()
	if _, err := newSemaphore(0); err == nil {
		t.Error("newSemaphore(0) = nil error, want an error")
	}
}

func TestSemaphoreOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := makeSemaphore(t, 1)
		acquire(t, s)
		var order []int
		for i := range 3 {
			go func() {
				acquire(t, s)
				order = append(order, i)
				s.release()
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatalf("got %v beyond the limit, want none", order)
		}
		wantSlots(t, s, 1, 1)
		s.release()
		synctest.Wait()
		if len(order) != 3 || order[0] != 0 || order[1] != 1 || order[2] != 2 {
			t.Errorf("got order %v, want [0 1 2]", order)
		}
	})
}

func TestSemaphoreContextCanceled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := makeSemaphore(t, 1)
		acquire(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		waited := make(chan error, 1)
		go func() { waited <- s.acquire(ctx, "key") }()
		synctest.Wait()
		cancel()
		if err := <-waited; !errors.Is(err, context.Canceled) {
			t.Errorf("acquire() = %v, want %v", err, context.Canceled)
		}
		s.release()
		wantSlots(t, s, 0, 1)
		acquire(t, s)
	})
}

func TestSemaphoreSetLimit(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := makeSemaphore(t, 1)
		for range 3 {
			go acquire(t, s)
		}
		synctest.Wait()
		s.setLimit(2)
		synctest.Wait()
		wantSlots(t, s, 2, 2)
		s.setLimit(0) // sets 1, and the two slots stay held
		s.release()
		synctest.Wait()
		wantSlots(t, s, 1, 1)
		s.release() // for the last waiter
		synctest.Wait()
		wantSlots(t, s, 1, 1)
	})
}

// TestSemaphoreConcurrent checks that the limit holds and no slot is lost when many
// goroutines acquire slots and a third of them is canceled.
func TestSemaphoreConcurrent(t *testing.T) {
	t.Parallel()
	const limit, callers = 5, 2000
	s := makeSemaphore(t, limit)
	var held, most atomic.Int64
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if rand.IntN(3) == 0 {
				go cancel()
			}
			if s.acquire(ctx, "key") != nil {
				return
			}
			defer s.release()
			if n := held.Add(1); n > most.Load() {
				most.Store(n)
			}
			held.Add(-1)
		})
	}
	all.Wait()
	if most.Load() > limit {
		t.Errorf("got %d slots held at once, want at most %d", most.Load(), limit)
	}
	wantSlots(t, s, 0, limit)
}

func TestSemaphoreKeysTakeTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := makeSemaphore(t, 1)
		acquire(t, s)
		var order []string
		wait := func(ctx context.Context, key string) {
			go func() {
				if s.acquire(ctx, key) == nil {
					order = append(order, key)
					s.release()
				}
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithCancel(t.Context())
		for range 3 {
			wait(t.Context(), "many")
		}
		wait(ctx, "canceled")
		wait(t.Context(), "two")
		wait(t.Context(), "one")
		wait(t.Context(), "two")
		cancel()
		synctest.Wait()
		s.release()
		synctest.Wait()
		if got, want := strings.Join(order, " "), "many two one many two many"; got != want {
			t.Errorf("got order %q, want %q", got, want)
		}
		wantSlots(t, s, 0, 1)
	})
}
