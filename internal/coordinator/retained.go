// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// Answer is the answer to a probe. It is read-only and may be used concurrently.
type Answer struct {
	Result   *scan.Result // never nil; results so far if the scan is running
	Retained bool         // Result was cached before the probe, or is empty because there is none
	Progress float64      // of the running scan for this answer, from 0 to 1; 1 if there is none
	Memory   Memory       // port history of the result's addresses
}

// Bounds of what is retained: so many results, and ports of addresses in them, of a
// byte each. The newest result is retained in any case.
const (
	mostKept  = 10_000
	mostCells = 32 << 20
)

// shelf holds the newest result of each task with a max_age: a complete one, or an
// incomplete one for as long as there is no other. It is under the coordinator's lock.
type shelf struct {
	kept  map[group][]*kept
	count int
	cells int
}

type kept struct {
	task   scan.Task
	result *scan.Result
	asked  time.Time // when somebody last asked for it
}

// cells is how much room the result takes.
func (k *kept) cells() int { return len(k.result.Addresses) * k.result.Plan.Ports().Len() }

// find returns what is retained for the task, or nil.
func (s *shelf) find(task scan.Task) *kept {
	for _, k := range s.kept[groupOf(task)] {
		if k.task.Equal(task) {
			return k
		}
	}
	return nil
}

// put retains a result, unless there is a better one.
func (s *shelf) put(task scan.Task, r *scan.Result, now time.Time) {
	k := &kept{task: task, result: r, asked: now}
	if old := s.find(task); old != nil {
		if old.result.Started.After(r.Started) || old.result.Success() && !r.Success() {
			return
		}
		k.asked = old.asked
		s.remove(old)
	}
	for s.count > 0 && (s.count >= mostKept || s.cells+k.cells() > mostCells) {
		s.remove(s.leastAsked())
	}
	s.kept[groupOf(task)] = append(s.kept[groupOf(task)], k)
	s.count++
	s.cells += k.cells()
}

func (s *shelf) leastAsked() (least *kept) {
	for _, in := range s.kept {
		for _, k := range in {
			if least == nil || k.asked.Before(least.asked) {
				least = k
			}
		}
	}
	return least
}

func (s *shelf) remove(k *kept) {
	g := groupOf(k.task)
	s.kept[g] = slices.DeleteFunc(s.kept[g], func(o *kept) bool { return o == k })
	if len(s.kept[g]) == 0 {
		delete(s.kept, g)
	}
	s.count--
	s.cells -= k.cells()
}

// all returns copies of what is retained.
func (s *shelf) all() (all []kept) {
	for _, in := range s.kept {
		for _, k := range in {
			all = append(all, *k)
		}
	}
	return all
}

// young returns the retained answer that saves a scan, if there is one. The caller
// holds the lock.
func (c *Coordinator) young(task scan.Task, now time.Time) (Answer, bool) {
	k := c.shelf.find(task)
	if k == nil {
		return Answer{}, false
	}
	k.asked = now
	if age := now.Sub(k.result.Finished); !k.result.Success() || age < 0 || age > task.MaxAge {
		return Answer{}, false
	}
	return Answer{Result: k.result, Retained: true, Progress: 1}, true
}

// Reconfigured applies a new configuration with these tasks of all targets and modules. It
// cancels scans and drops cached results of tasks that Options.Allow rejects or changes,
// and drops the history of removed targets and addresses. Scans without a max_age continue
// until their waiting probes are answered.
func (c *Coordinator) Reconfigured(now []scan.Task) {
	c.memory.reconfigured(now)
	c.mu.Lock()
	c.configuration.Add(1)
	var tasks []scan.Task
	for _, k := range c.shelf.all() {
		tasks = append(tasks, k.task)
	}
	for _, in := range c.shared {
		for _, s := range in {
			if s.task.MaxAge > 0 {
				tasks = append(tasks, s.task)
			}
		}
	}
	c.mu.Unlock()
	for _, task := range tasks {
		if now, err := c.options.Allow(task); err != nil || !now.Equal(task) {
			c.drop(task)
		}
	}
	c.keeper.altered()
}

var errForgotten = errors.New("configuration changed")

// drop forgets a task's result, and ends its scan.
func (c *Coordinator) drop(task scan.Task) {
	c.mu.Lock()
	if k := c.shelf.find(task); k != nil {
		c.shelf.remove(k)
	}
	var ends []*shared
	for _, s := range c.shared[groupOf(task)] {
		if s.task.Equal(task) && s.pass != nil { // else it is looked at when it begins
			ends = append(ends, s)
		}
	}
	for _, s := range ends {
		c.retire(s)
		s.dropped = true
	}
	c.mu.Unlock()
	for _, s := range ends {
		c.interrupt(s, errForgotten)
	}
}
