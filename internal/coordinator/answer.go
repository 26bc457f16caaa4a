// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"time"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// Source is where the answer to a probe comes from.
type Source string

// The sources. Their names are the values of the key "source" in the audit file.
const (
	Fresh  Source = "fresh"  // a scan that the probe started
	Joined Source = "joined" // a scan that another probe started
	Cached Source = "cached" // an earlier scan
)

// Answer is the answer to a probe. It is read-only and may be used concurrently.
type Answer struct {
	Result   *scan.Result  // never nil; results so far if the scan is running
	History  store.History // port history of the result's addresses
	ScanID   string        // of the scan that the result is from
	Source   Source
	Progress float64 // of the running scan for this answer, from 0 to 1; 1 if there is none

	// View has the results that the store has, of which Result is one; nil: Result is not
	// from the store. Answers with the same view have the same result and history.
	View *store.View
}

// viewAnswer returns an answer from the store.
func viewAnswer(v *store.View, source Source, progress float64) Answer {
	return Answer{Result: v.Result, History: v.History, ScanID: v.ScanID, Source: source, Progress: progress, View: v}
}

// freshAnswer returns the answer from the store that saves a scan, if there is one.
func (c *Coordinator) freshAnswer(task scan.Task) (Answer, bool) {
	if task.MaxAge == 0 {
		return Answer{}, false
	}
	now := time.Now()
	v := c.options.Store.View(task, now)
	if v == nil || !v.IsFresh(task, now) {
		return Answer{}, false
	}
	return viewAnswer(v, Cached, 1), true
}

// sweepAnswer returns the answer for a probe of the sweep id: from the store, or an empty one if the
// first sweep has started.
func (c *Coordinator) sweepAnswer(id string, run *scanRun, task scan.Task, recorded bool, source Source) (Answer, bool) {
	v := c.options.Store.View(task, time.Now())
	switch {
	case v != nil && recorded:
		return viewAnswer(v, source, 1), true
	case recorded: // the configuration has changed, or the result was evicted
		return Answer{}, false
	case v != nil:
		return viewAnswer(v, Cached, run.progress()), true
	case run != nil:
		empty := &scan.Result{Plan: task.Plan, Failed: run.canceled()}
		return Answer{Result: empty, ScanID: id, Source: source, Progress: run.progress()}, true
	default:
		return Answer{}, false
	}
}
