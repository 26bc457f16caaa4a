// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// openLog opens a log, and returns the number of dropped entries and the log
// messages with it.
func openLog(t *testing.T, path string) (l *Log, dropped *atomic.Int64, messages *bytes.Buffer) {
	t.Helper()
	dropped, messages = new(atomic.Int64), new(bytes.Buffer)
	l, err := Open(path, func() { dropped.Add(1) }, slog.New(slog.NewTextHandler(messages, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l, dropped, messages
}

// readEntries returns the entries of an audit file.
func readEntries(t *testing.T, path string) []map[string]any {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	for line := range strings.Lines(string(data)) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, fields)
	}
	return all
}

func TestEntryFields(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, _ := openLog(t, path)
	l.Add(Entry{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Event: EventScan, Remote: "192.0.2.1:5", User: "prom", Target: "web", Module: "m",
		Owner: "net team", Reference: "CHG-1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, Ports: 7, Attempts: 8,
		Duration: time.Second, Outcome: "complete", Status: 200,
	})
	l.Add(Entry{Event: EventRefusal, Target: "a\nb\u2028<script>\xff", Outcome: "unknown_target", Status: 403})
	l.Close()
	l.Add(Entry{}) // dropped: the log is closed
	got := readEntries(t, path)
	if len(got) != 2 || dropped.Load() != 1 {
		t.Fatalf("got %d entries, %d dropped, want 2 and 1: %v", len(got), dropped.Load(), got)
	}
	for key, want := range map[string]any{
		"time": "2026-01-02T03:04:05.000000006Z", "event": "scan", "remote": "192.0.2.1:5", "user": "prom", "target": "web", "module": "m",
		"owner": "net team", "reference": "CHG-1", "ports": 7.0, "attempts": 8.0, "duration_ns": 1e9, "outcome": "complete", "status": 200.0,
	} {
		if got[0][key] != want {
			t.Errorf("%s = %v, want %v", key, got[0][key], want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
}

func TestReopenAfterRename(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, _ := openLog(t, path)
	const before, after = 500, 300
	for range before {
		l.Add(Entry{Target: "before"})
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	for range after {
		l.Add(Entry{Target: "after"})
	}
	l.Close()
	if rotated, current := readEntries(t, path+".1"), readEntries(t, path); len(rotated) != before || len(current) != after || dropped.Load() != 0 {
		t.Errorf("got %d rotated, %d current and %d dropped entries, want %d, %d and 0", len(rotated), len(current), dropped.Load(), before, after)
	}
}

func TestOpenDirectory(t *testing.T) {
	t.Parallel()
	if _, err := Open(t.TempDir(), func() {}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("Open of a directory succeeded")
	}
}

func TestAddDiskFull(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("SKIPPED, NOT TESTED: no " + full)
	}
	l, dropped, messages := openLog(t, full)
	for range 10 {
		l.Add(Entry{Target: "x"})
	}
	l.Close()
	if dropped.Load() != 10 || strings.Count(messages.String(), "\n") != 1 || !strings.Contains(messages.String(), "no space left") {
		t.Errorf("got %d dropped entries and these messages, want 10 and one message:\n%s", dropped.Load(), messages.String())
	}
}

func TestNilLog(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Add(Entry{})
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Close()
}
