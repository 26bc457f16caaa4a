// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

// stateFileOf returns the path of a state file in a new directory.
func stateFileOf(tb testing.TB) string {
	tb.Helper()
	return filepath.Join(tb.TempDir(), "state.json")
}

func statFile(tb testing.TB, file string) fs.FileInfo {
	tb.Helper()
	info, err := os.Stat(file)
	if err != nil {
		tb.Fatal(err)
	}
	return info
}

// recordOpen records a scan that ends now, with these ports open.
func recordOpen(tb testing.TB, s *Store, task scan.Task, open ...uint16) {
	tb.Helper()
	r := stateResult(tb, task, time.Now().Add(-time.Second), []string{"192.0.2.1"}, scan.NewPortSet(open...), scan.PortSet{})
	s.Record(task, "1", r)
}

func TestRestoreAfterClose(t *testing.T) {
	t.Parallel()
	task, file := stateTask(t, "1-5"), stateFileOf(t)
	task.MaxAge = 0 // results are not worth saving, except at the end
	task = task.ResetDigest()
	var log lockedLog
	o := StateOptions{Tasks: []scan.Task{task}, Allow: allowTask(task)}
	for i := range 3 {
		s := newStateStore(t, &log)
		if err := s.Restore(file, o); err != nil {
			t.Fatal(err)
		}
		if v := s.View(task, time.Now()); (v != nil) != (i > 0) {
			t.Errorf("restart %d: View() = %+v", i, v)
		}
		recordOpen(t, s, task, 1, 2)
		s.Close()
		s.Close()
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		data := encodeStore(t, s)
		if !bytes.Equal(before, data) {
			t.Errorf("restart %d: file\n%s\nwant\n%s", i, before, data)
		}
	}
	if strings.Count(log.String(), "\n") != 0 {
		t.Errorf("log %q, want none", log.String())
	}
}

// TestSaveOncePerInterval records results all the time.
func TestSaveOncePerInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		task, file := stateTask(t, "1-5"), stateFileOf(t)
		s := newStateStore(t, nil)
		if err := s.Restore(file, StateOptions{Tasks: []scan.Task{task}}); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		saves, last := 0, statFile(t, file)
		for range 600 {
			time.Sleep(time.Second)
			synctest.Wait()
			recordOpen(t, s, task, 1, 2)
			if next := statFile(t, file); !os.SameFile(next, last) {
				saves, last = saves+1, next
			}
		}
		if saves < 9 || saves > 11 {
			t.Errorf("%d saves in 10 minutes, want one a minute", saves)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		last = statFile(t, file)
		time.Sleep(time.Hour)
		synctest.Wait()
		if !os.SameFile(statFile(t, file), last) {
			t.Error("saved without a change")
		}
	})
}

// TestSaveRunningScans saves the progress of a scan that records nothing.
func TestSaveRunningScans(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		task, file := stateTask(t, "1-5"), stateFileOf(t)
		var mu sync.Mutex
		var running []Unfinished
		s := newStateStore(t, nil)
		o := StateOptions{Tasks: []scan.Task{task}, Allow: allowTask(task), Running: func() []Unfinished {
			mu.Lock()
			defer mu.Unlock()
			return running
		}}
		if err := s.Restore(file, o); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		time.Sleep(90 * time.Second)
		mu.Lock()
		r := stateResult(t, task, time.Now(), []string{"192.0.2.1"}, scan.NewPortSet(4), scan.NewPortSet(3))
		r.Finished = r.Started
		running = []Unfinished{{Task: task, ID: "1", Result: r}}
		mu.Unlock()
		time.Sleep(61 * time.Second)
		synctest.Wait()
		killed := newStateStore(t, nil)
		if _, err := os.Stat(file); err != nil {
			t.Fatal(err)
		}
		restored, err := readState(file, newRestorer(o, time.Now()))
		if err != nil {
			t.Fatal(err)
		}
		killed.install(restored)
		if got := killed.Resume(task, time.Now()); got != nil {
			t.Errorf("Resume() = %v, want the scan to have ended", got) // its timeout is a minute
		}
		if v := killed.View(task, time.Now()); v == nil || v.ScanID != "1" || v.Result.Addresses[0].Count(scan.Unknown) != 1 {
			t.Errorf("View() = %+v, want the result so far", v)
		}
	})
}

// TestSaveWithoutDirectory is refused at the start, and logged once later.
func TestSaveWithoutDirectory(t *testing.T) {
	t.Parallel()
	task := stateTask(t, "1-5")
	if err := newStateStore(t, nil).Restore(filepath.Join(t.TempDir(), "none", "state.json"), StateOptions{}); err == nil {
		t.Error("Restore() = nil, want an error without the directory")
	}
	synctest.Test(t, func(t *testing.T) {
		directory := filepath.Join(t.TempDir(), "directory")
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		var log lockedLog
		file, s := filepath.Join(directory, "state.json"), newStateStore(t, &log)
		if err := s.Restore(file, StateOptions{Tasks: []scan.Task{task}}); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(directory); err != nil {
			t.Fatal(err)
		}
		for range 5 {
			recordOpen(t, s, task, 1)
			time.Sleep(2 * time.Minute)
		}
		synctest.Wait()
		if got := strings.Count(log.String(), `level=ERROR msg="Failed to write state file"`); got != 1 {
			t.Errorf("%d errors, want one: %s", got, &log)
		}
		if err := os.Mkdir(directory, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if !strings.Contains(log.String(), `msg="Resumed writing state file"`) {
			t.Errorf("log %s, want the end of the failure", &log)
		}
		s.Close()
		if _, err := readState(file, newRestorer(StateOptions{}, time.Now())); err != nil {
			t.Errorf("reading the file: %v", err)
		}
	})
}

// TestSaveCopiesLines changes the file under the store, which then encodes its records again.
func TestSaveCopiesLines(t *testing.T) {
	t.Parallel()
	task, file := stateTask(t, "1-5"), stateFileOf(t)
	s := newStateStore(t, nil)
	s.Reconfigure([]scan.Task{task})
	fillStore(t, s, task)
	v := &saver{store: s, file: file, running: func() []Unfinished { return nil }, limit: maxStateSize}
	want := string(encodeStore(t, s))
	for name, damage := range map[string]func(good []byte) []byte{
		"unchanged": func(good []byte) []byte { return good },
		"changed": func(good []byte) []byte {
			return bytes.ReplaceAll(good, []byte(`"opened":"5"`), []byte(`"opened":"4"`))
		},
		"shorter": func(good []byte) []byte { return good[:len(good)/2] },
		"shifted": func(good []byte) []byte { return append([]byte("x"), good...) },
		"other":   func([]byte) []byte { return []byte("root:x:0:0:root:/root:/bin/bash\n") },
	} {
		if err := v.save(); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, damage(good), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := v.save(); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(file); err != nil || string(got) != want || len(v.lines) != 3 {
			t.Errorf("%s: %d lines known, file %q, %v, want %q", name, len(v.lines), got, err, want)
		}
	}
}

// TestSaveLimit omits what is beyond the limit of the file's size.
func TestSaveLimit(t *testing.T) {
	t.Parallel()
	task, file, now := stateTask(t, "1-5"), stateFileOf(t), stateTime().Add(time.Hour)
	var log lockedLog
	s := newStateStore(t, &log)
	fillStore(t, s, task)
	full := len(encodeStore(t, s))
	for limit := range full {
		if limit%97 != 0 {
			continue
		}
		v := &saver{store: s, file: file, running: func() []Unfinished { return nil }, limit: int64(limit)}
		if err := v.save(); err != nil {
			t.Fatal(err)
		}
		r, err := readState(file, newRestorer(StateOptions{Tasks: []scan.Task{task}, Allow: allowTask(task)}, now))
		if err != nil {
			t.Fatalf("limit %d: %v", limit, err)
		}
		restored := newStateStore(t, nil)
		restored.install(r)
		if got := restored.View(task, now); got != nil && len(got.Result.Addresses) != 2 {
			t.Errorf("limit %d: View() = %+v, want all addresses or none", limit, got)
		}
	}
	if !strings.Contains(log.String(), `msg="Omitted cached results from state file"`) {
		t.Errorf("log %s, want a warning", &log)
	}
}

// TestSaveLimitOrder requires that the entries that were used last are saved if not all fit, and
// that they are still the last used ones when they are restored.
func TestSaveLimitOrder(t *testing.T) {
	t.Parallel()
	file, now := stateFileOf(t), stateTime().Add(time.Hour)
	s, tasks := newStateStore(t, nil), make([]scan.Task, 3)
	for i, target := range []string{"first", "second", "last"} {
		tasks[i] = stateTask(t, "1-5")
		tasks[i].Target = target
		tasks[i] = tasks[i].ResetDigest()
		s.Record(tasks[i], target, stateResult(t, tasks[i], stateTime(), []string{"192.0.2.1"}, scan.NewPortSet(1), scan.PortSet{}))
	}
	for limit, want := range map[int][]string{1: nil, 200: {"last"}, len(encodeStore(t, s)): {"last", "second", "first"}} {
		v := &saver{store: s, file: file, running: func() []Unfinished { return nil }, limit: int64(limit)}
		if err := v.save(); err != nil {
			t.Fatal(err)
		}
		r, err := readState(file, newRestorer(StateOptions{Tasks: tasks}, now))
		if err != nil {
			t.Fatalf("limit %d: %v", limit, err)
		}
		restored := newStateStore(t, nil)
		restored.install(r)
		var got []string
		for _, e := range restored.lastUsedFirst() {
			got = append(got, e.id.target)
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: restored entries %v, want %v", limit, got, want)
		}
	}
}

// TestRestoreKeepsUnusableFile requires that an unusable file is not overwritten if it cannot be
// renamed.
func TestRestoreKeepsUnusableFile(t *testing.T) {
	t.Parallel()
	file := stateFileOf(t)
	if err := os.WriteFile(file, []byte("foreign"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(file+".unusable", 0o700); err != nil {
		t.Fatal(err)
	}
	err := newStateStore(t, nil).Restore(file, StateOptions{})
	if got, readErr := os.ReadFile(file); err == nil || readErr != nil || string(got) != "foreign" {
		t.Errorf("Restore() = %v and file %q, %v, want an error and the unchanged file", err, got, readErr)
	}
}

// TestCloseHangingSave closes a store whose last save does not end for an hour.
func TestCloseHangingSave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log lockedLog
		var hang atomic.Bool
		s, file := newStateStore(t, &log), stateFileOf(t)
		running := func() []Unfinished {
			if hang.Load() {
				time.Sleep(time.Hour)
			}
			return nil
		}
		if err := s.Restore(file, StateOptions{Running: running}); err != nil {
			t.Fatal(err)
		}
		hang.Store(true)
		recordOpen(t, s, stateTask(t, "1-5"), 1)
		started := time.Now()
		s.Close()
		if took := time.Since(started); took != closeTimeout {
			t.Errorf("Close took %v, want %v", took, closeTimeout)
		}
		if text := log.String(); !strings.Contains(text, "Failed to write state file") || !strings.Contains(text, file) {
			t.Errorf("log = %q, want an error with the name of the file", text)
		}
		<-s.saver.ended // hours later
	})
}

// TestRestoreWritableFile requires a warning if others can have changed the file, and a new mode.
func TestRestoreWritableFile(t *testing.T) {
	t.Parallel()
	if os.PathSeparator != '/' {
		t.Skip("SKIPPED, NOT TESTED: the system has no modes of files")
	}
	for mode, warn := range map[os.FileMode]bool{0o600: false, 0o644: false, 0o620: true, 0o666: true} {
		var log lockedLog
		file := stateFileOf(t)
		for range 2 { // creates it, and restores it
			s := newStateStore(t, &log)
			if err := s.Restore(file, StateOptions{}); err != nil {
				t.Fatal(err)
			}
			s.Close()
			if got := statFile(t, file).Mode().Perm(); got != 0o600 {
				t.Errorf("mode %04o becomes %04o, want 0600", mode, got)
			}
			if err := os.Chmod(file, mode); err != nil {
				t.Fatal(err)
			}
		}
		if text := log.String(); strings.Contains(text, "State file was writable by other users") != warn {
			t.Errorf("mode %04o: log = %q, want a warning: %t", mode, text, warn)
		}
	}
}
