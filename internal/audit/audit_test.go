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

// testLog opens a log at the path, and returns what it counts and tells.
func testLog(t *testing.T, path string) (l *Log, failed *atomic.Int64, told *bytes.Buffer) {
	t.Helper()
	failed, told = new(atomic.Int64), new(bytes.Buffer)
	l, err := Open(path, func() { failed.Add(1) }, slog.New(slog.NewTextHandler(told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return l, failed, told
}

func lines(t *testing.T, path string) []map[string]any {
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

func TestLines(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, failed, _ := testLog(t, path)
	l.Add(Entry{
		Time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Event: Scan, Remote: "192.0.2.1:5", User: "prom", Target: "web", Module: "m",
		Owner: "net team", Reference: "CHG-1", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, Ports: 7, Attempts: 8,
		Duration: time.Second, Outcome: "complete", Status: 200,
	})
	l.Add(Entry{Event: Refusal, Target: "a\nb\u2028<script>\xff", Outcome: "unknown_target", Status: 403})
	l.Close()
	l.Add(Entry{}) // too late
	got := lines(t, path)
	if len(got) != 2 || failed.Load() != 1 {
		t.Fatalf("%d lines, %d lost: %v", len(got), failed.Load(), got)
	}
	for key, want := range map[string]any{
		"time": "2026-01-02T03:04:05.000000006Z", "event": "scan", "remote": "192.0.2.1:5", "user": "prom", "target": "web", "module": "m",
		"owner": "net team", "reference": "CHG-1", "ports": 7.0, "attempts": 8.0, "duration_ns": 1e9, "outcome": "complete", "status": 200.0,
	} {
		if got[0][key] != want {
			t.Errorf("%s is %v, want %v", key, got[0][key], want)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %v, %v", info.Mode(), err)
	}
}

// TestReopen moves the file away in between, as logrotate does.
func TestReopen(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, failed, _ := testLog(t, path)
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
	if old, fresh := lines(t, path+".1"), lines(t, path); len(old) != before || len(fresh) != after || failed.Load() != 0 {
		t.Errorf("%d lines in the old file and %d in the new one, %d lost", len(old), len(fresh), failed.Load())
	}
	if _, err := Open(t.TempDir(), func() {}, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("a folder was opened")
	}
}

// TestFullDisk writes to where there is never room.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	const full = "/dev/full"
	if _, err := os.Stat(full); err != nil {
		t.Skip("SKIPPED, NOT TESTED: no " + full)
	}
	l, failed, told := testLog(t, full)
	for range 10 {
		l.Add(Entry{Target: "x"})
	}
	l.Close()
	if failed.Load() != 10 || strings.Count(told.String(), "\n") != 1 || !strings.Contains(told.String(), "no space left") {
		t.Errorf("%d lost, and it said:\n%s", failed.Load(), told.String())
	}
}

func TestNoLog(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Add(Entry{})
	if err := l.Reopen(); err != nil {
		t.Error(err)
	}
	l.Close()
}
