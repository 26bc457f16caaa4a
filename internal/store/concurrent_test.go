// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestStoreConcurrent has goroutines use a small store while it is reconfigured.
func TestStoreConcurrent(t *testing.T) {
	t.Parallel()
	st := newStoreTest(t, "1-5")
	tasks, results := concurrentTasks(t, st)
	st.Reconfigure(tasks)
	st.Record(tasks[0], "id", results[0])
	st.limit = 10 * st.size
	var all sync.WaitGroup
	for seed := range uint64(4) {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, 1))
			for range 2000 {
				i, k := random.IntN(len(tasks)), random.IntN(len(results)/2)
				useStore(st.Store, random, tasks[i], results[2*k+i%2], st.now)
			}
		})
	}
	all.Go(func() {
		random := rand.New(rand.NewPCG(9, 1))
		for range 500 {
			var some []scan.Task
			for i := range tasks {
				if i%2 == random.IntN(2) { // of each target, tasks with different ports
					some = append(some, tasks[i])
				}
			}
			st.Reconfigure(oneTaskPerTarget(some))
		}
	})
	all.Wait()
	st.checkSize(t)
	if st.size > st.limit {
		t.Errorf("size = %d, want at most %d", st.size, st.limit)
	}
	st.Reconfigure(nil)
	if st.size != 0 || st.used.Len() != 0 || len(st.entries) != 0 {
		t.Errorf("without targets size = %d, %d used entries of %d, want none", st.size, st.used.Len(), len(st.entries))
	}
}

// concurrentTasks returns two tasks with different ports for each of 6 targets, and results for
// the first and the second of them in turn.
func concurrentTasks(t *testing.T, st *storeTest) (tasks []scan.Task, results []*scan.Result) {
	t.Helper()
	for i := range 12 {
		tasks = append(tasks, changed(st.task, func(task *scan.Task) {
			task.Target, task.MaxAge = strconv.Itoa(i/2), time.Hour
			task.Plan = newPlan(t, []string{"1-5", "1-4"}[i%2])
		}))
	}
	for i := range 20 {
		at := st.now.Add(time.Duration(i) * time.Second)
		results = append(results, newResult(t, tasks[i%2], resultSpec{started: at, finished: at.Add(time.Second), hosts: map[string]hostStates{
			host1: {open: []string{"1", "2", "1,3"}[i%3], unknown: []string{"", "4"}[i/2%2], silent: i%5 == 0},
			host2: {},
		}}))
	}
	return tasks, results
}

func oneTaskPerTarget(tasks []scan.Task) (some []scan.Task) {
	seen := make(map[string]bool)
	for _, task := range tasks {
		if !seen[task.Target] {
			some = append(some, task)
		}
		seen[task.Target] = true
	}
	return some
}

// useStore does a random operation.
func useStore(s *Store, random *rand.Rand, task scan.Task, r *scan.Result, now time.Time) {
	if random.IntN(2) == 0 {
		task = task.ForAddress(addr1(), host1)
	}
	switch random.IntN(10) {
	case 0:
		s.Suspend(task, "id", r)
	case 1:
		s.Resume(task, now)
	case 2:
		s.View(task, now)
	case 3:
		s.Summaries()
	case 4:
		s.TargetViews(task.Target)
	case 5:
		s.Changes("")
		s.History(task, r).LastChange(addr1(), 1)
		s.Opened(task, []scan.Address{{IP: addr1()}})
		s.Known(task, []scan.Address{{IP: addr1()}}, now)
	default:
		s.Record(task, "id", r)
	}
}
