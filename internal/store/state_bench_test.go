// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// largeStore returns a store with 100,000 addresses, each with 3 of 1,024 ports open.
func largeStore(tb testing.TB) (*Store, scan.Task) {
	tb.Helper()
	task := stateTask(tb, "1-1024")
	network := netip.MustParsePrefix("10.0.0.0/8")
	task.Hosts = []scan.Host{{Entry: network.String(), Network: network}}
	var err error
	if task.Scope, err = scan.NewScope([]netip.Prefix{network}, nil); err != nil {
		tb.Fatal(err)
	}
	task = task.ResetDigest()
	s := newStateStore(tb, nil)
	s.limit = 1 << 30
	s.Reconfigure([]scan.Task{task})
	const addresses = 100_000
	ips := make([]string, 0, addresses)
	for ip := netip.MustParseAddr("10.0.0.1"); len(ips) < addresses; ip = ip.Next() {
		ips = append(ips, ip.String())
	}
	s.Record(task, "1", stateResult(tb, task, stateTime(), ips, scan.NewPortSet(22, 80, 443), scan.PortSet{}))
	return s, task
}

// BenchmarkSave saves the store for the first time, and then after a change of one address.
func BenchmarkSave(b *testing.B) {
	s, task := largeStore(b)
	file := filepath.Join(b.TempDir(), "state.json")
	v := &saver{store: s, file: file, running: func() []Unfinished { return nil }, limit: maxStateSize}
	save := func(b *testing.B) {
		b.Helper()
		if err := v.save(); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(statFile(b, file).Size()), "bytes/file")
		b.ReportMetric(float64(s.size), "bytes/store")
	}
	b.Run("first", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			v.lines = nil
			save(b)
		}
	})
	b.Run("changed", func(b *testing.B) {
		b.ReportAllocs()
		at := stateTime()
		for b.Loop() {
			at = at.Add(time.Minute)
			s.Record(task.ForAddress(netip.MustParseAddr("10.0.0.9"), "10.0.0.0/8"), "2", stateResult(b, task, at, []string{"10.0.0.9"}, scan.NewPortSet(22), scan.PortSet{}))
			save(b)
		}
	})
	b.Run("restore", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := readState(file, newRestorer(StateOptions{Tasks: []scan.Task{task}}, time.Now())); err != nil {
				b.Fatal(err)
			}
		}
	})
}
