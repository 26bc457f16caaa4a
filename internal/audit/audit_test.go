// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// safeBuffer stores log messages. It is safe for concurrent use.
type safeBuffer struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all.String()
}

// openLog opens a log, and returns the number of dropped entries and the log messages
// with it.
func openLog(t *testing.T, path string) (l *Log, dropped *atomic.Int64, messages *safeBuffer) {
	t.Helper()
	dropped, messages = new(atomic.Int64), new(safeBuffer)
	l, err := Open(path, func() { dropped.Add(1) }, slog.New(slog.NewTextHandler(messages, nil)))
	if err != nil {
		t.Fatal(err)
	}
	l.closeTimeout = time.Minute // on a busy machine
	return l, dropped, messages
}

// startLog returns a log that writes to file, for at most closeTimeout after Close.
func startLog(file *os.File, closeTimeout time.Duration) (l *Log, dropped *atomic.Int64, messages *safeBuffer) {
	dropped, messages = new(atomic.Int64), new(safeBuffer)
	open := func() (*os.File, error) { return nil, os.ErrNotExist }
	l = newLog(file.Name(), file, open, func() { dropped.Add(1) }, slog.New(slog.NewTextHandler(messages, nil)))
	l.closeTimeout = closeTimeout
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

func TestReopenAfterRename(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, _ := openLog(t, path)
	const before, after = 500, 300
	for range before {
		l.Probe(Probe{Target: "before"})
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	for range after {
		l.Probe(Probe{Target: "after"})
	}
	l.Close()
	if rotated, current := readEntries(t, path+".1"), readEntries(t, path); len(rotated) != before || len(current) != after || dropped.Load() != 0 {
		t.Errorf("got %d rotated, %d current and %d dropped entries, want %d, %d and 0", len(rotated), len(current), dropped.Load(), before, after)
	}
}

// TestReopenFails replaces the file by a directory.
func TestReopenFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, messages := openLog(t, path)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	l.Probe(Probe{Target: "kept"})
	l.Close()
	if got := readEntries(t, path+".1"); len(got) != 1 || dropped.Load() != 0 {
		t.Errorf("got %d entries and %d dropped, want 1 and 0", len(got), dropped.Load())
	}
	if got, want := messages.String(), path+" is a directory"; !strings.Contains(got, "Failed to reopen audit file") || !strings.Contains(got, want) {
		t.Errorf("messages = %q, want %q", got, want)
	}
}

func TestCloseTwice(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "audit.log")
	l, dropped, _ := openLog(t, path)
	l.Close()
	l.Close()
	l.Reopen()
	l.Probe(Probe{})
	if got := readEntries(t, path); len(got) != 0 || dropped.Load() != 1 {
		t.Errorf("got %d entries and %d dropped, want 0 and 1", len(got), dropped.Load())
	}
}

func TestWriteDiskFull(t *testing.T) {
	t.Parallel()
	file, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip("SKIPPED, NOT TESTED:", err)
	}
	l, dropped, messages := startLog(file, time.Minute)
	for range 10 {
		l.Refusal(Refusal{Target: "x"})
	}
	l.Close()
	if dropped.Load() != 10 || strings.Count(messages.String(), "\n") != 1 || !strings.Contains(messages.String(), "no space left") {
		t.Errorf("got %d dropped entries and these messages, want 10 and one message:\n%s", dropped.Load(), messages.String())
	}
}

func TestNilLog(t *testing.T) {
	t.Parallel()
	var l *Log
	l.Scan(Scan{})
	l.Probe(Probe{})
	l.Refusal(Refusal{})
	l.Reopen()
	l.Close()
}
