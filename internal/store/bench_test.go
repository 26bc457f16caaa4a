// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// BenchmarkReconfigure applies an unchanged configuration with 100,000 addresses.
func BenchmarkReconfigure(b *testing.B) {
	st := newStoreTest(b, "1-5")
	st.limit = 1 << 30
	hosts := make(map[string]hostStates)
	for i := range 1000 {
		hosts[fmt.Sprintf("2001:db8::%x", i+1)] = hostStates{open: "1"}
	}
	r := newResult(b, st.task, resultSpec{started: st.now, finished: st.now.Add(time.Second), hosts: hosts})
	var tasks []scan.Task
	for i := range 100 {
		tasks = append(tasks, st.target(strconv.Itoa(i)))
		st.Record(tasks[i], "id", r)
	}
	for b.Loop() {
		st.Reconfigure(tasks)
	}
}

// BenchmarkSummaries sums up 20,000 targets.
func BenchmarkSummaries(b *testing.B) {
	st := newStoreTest(b, "1-1024")
	st.limit = 1 << 30
	r := newResult(b, st.task, resultSpec{started: st.now, finished: st.now.Add(time.Second), hosts: map[string]hostStates{host1: {open: "1,22"}}})
	for i := range 20_000 {
		st.Record(st.target(strconv.Itoa(i)), "id", r)
	}
	all := st.all("")
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			for _, e := range all {
				e.summary = nil
			}
			st.Summaries()
		}
	})
	b.Run("cached", func(b *testing.B) {
		for b.Loop() {
			st.Summaries()
		}
	})
}

// BenchmarkRecord records scans of all ports.
func BenchmarkRecord(b *testing.B) {
	for _, size := range []int{1, 254} {
		b.Run(fmt.Sprintf("addresses=%d", size), func(b *testing.B) {
			st := newStoreTest(b, "1-65535")
			st.limit = 1 << 30
			at := st.now
			closed, filtered := make(map[string]hostStates), make(map[string]hostStates)
			for i := range size {
				ip := fmt.Sprintf("192.0.2.%d", i+1)
				closed[ip], filtered[ip] = hostStates{open: "1"}, hostStates{open: "1", silent: true}
			}
			both := []*scan.Result{
				newResult(b, st.task, resultSpec{finished: at, hosts: closed}), newResult(b, st.task, resultSpec{finished: at, hosts: filtered}),
			}
			st.Record(st.task, "id", both[0])
			b.ReportAllocs()
			for i := 1; b.Loop(); i++ { // each port changes its state
				r := *both[i%2]
				at = at.Add(time.Minute)
				r.Started, r.Finished = at, at.Add(time.Second)
				st.Record(st.task, "id", &r)
			}
			b.ReportMetric(float64(st.size)/float64(size), "B/address")
		})
	}
}
