// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"portscan_exporter/internal/regularfile"
	"portscan_exporter/internal/scan"
)

// StateOptions are the options of [Store.Restore].
type StateOptions struct {
	Tasks []scan.Task // of all configured targets, with each of their modules

	// Allow returns a task with Asked, Target and Module as the configuration has it, or an
	// error. If it is nil, unfinished scans of single addresses are dropped.
	Allow func(task scan.Task) (scan.Task, error)

	Running  func() []Unfinished // the running scans to save; nil: none
	Interval time.Duration       // minimum time between saves. Default: 1m.
}

// saveInterval is the default minimum time between saves: a killed process loses at most the
// results of that time.
const saveInterval = time.Minute

// closeTimeout is the longest time that Close waits for a save: a disk can hang.
const closeTimeout = 10 * time.Second

// saveShare bounds the share of time that saving takes, to a fifth.
const saveShare = 4

// saver saves the store to a file when it has changed.
type saver struct {
	store    *Store
	file     string
	running  func() []Unfinished
	interval time.Duration
	limit    int64 // of the file's size

	end   chan struct{}
	ended chan struct{}
	once  sync.Once

	// Used by one goroutine at a time.
	lines    map[*record]fileLine // in the file
	saved    int64                // version of the store
	recorded int64                // results
	progress int                  // attempts of the running scans
	failed   bool                 // the last time
	omitted  int                  // the last time
}

// Restore reads the state file, and then saves results and port history to it until
// [Store.Close]. It drops state that the configuration does not have. It renames an unusable
// file and logs a warning. The error is that of reading or writing the file. Call Restore once,
// before the first scan.
func (s *Store) Restore(file string, o StateOptions) error {
	removeTemporary(file)
	s.warnWritable(file)
	restored, err := readState(file, newRestorer(o, time.Now()))
	switch {
	case errors.Is(err, errUnusable):
		if err := s.setAside(file, err); err != nil {
			return err
		}
		restored = newRestorer(o, time.Now())
	case err != nil:
		return fmt.Errorf("reading the state file: %w", err)
	}
	s.install(restored)
	s.Reconfigure(o.Tasks)
	v := &saver{
		store: s, file: file, running: o.Running, interval: cmp.Or(o.Interval, saveInterval), limit: maxStateSize - maxLineLength,
		end: make(chan struct{}), ended: make(chan struct{}), lines: restored.lines,
	}
	if v.running == nil {
		v.running = func() []Unfinished { return nil }
	}
	if err := v.save(); err != nil {
		return err
	}
	s.saver = v
	go v.run()
	return nil
}

// setAside renames an unusable file, so that it is not overwritten: it may belong to another
// program or a later version.
func (s *Store) setAside(file string, reason error) error {
	renamed := file + ".unusable"
	if err := os.Rename(file, renamed); err != nil {
		return fmt.Errorf("%w: renaming it: %w", reason, err)
	}
	s.logger.Warn("Cannot use state file, starting with empty state", "file", file, "err", reason, "renamed_to", renamed)
	return nil
}

// install sets the content of the store.
func (s *Store) install(r *restorer) {
	s.mu.Lock()
	s.entries, s.byTarget = r.byID, make(map[string][]*entry)
	for _, e := range r.entries {
		s.byTarget[e.id.target] = append(s.byTarget[e.id.target], e)
	}
	s.mu.Unlock()
	for _, e := range slices.Backward(r.entries) {
		s.grow(e, e.totalSize())
	}
}

// Close saves the changes since the last save and stops saving. Results that are recorded
// afterwards are not saved. If saving takes too long, Close returns after 10 s.
func (s *Store) Close() {
	v := s.saver
	if v == nil {
		return
	}
	v.once.Do(func() { close(v.end) })
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-v.ended:
	case <-timer.C:
		s.logger.Error("Failed to write state file", "file", v.file, "err", fmt.Sprintf("not finished %v after the end of all scans", closeTimeout))
	}
}

// alter notes a change that is worth saving.
func (s *Store) alter() {
	s.version.Add(1)
	select {
	case s.saveSignal <- struct{}{}:
	default: // it is saved with the one before
	}
}

// run saves until the end.
func (v *saver) run() {
	defer close(v.ended)
	ticker := time.NewTicker(v.interval)
	defer ticker.Stop()
	for {
		select {
		case <-v.end:
			v.trySave(v.hasResults())
			return
		case <-v.store.saveSignal:
		case <-ticker.C: // running scans make progress without a signal, and saving may have failed
		}
		began := time.Now()
		if !v.trySave(v.hasChanges()) {
			continue
		}
		pause := time.NewTimer(max(v.interval, saveShare*time.Since(began)))
		select {
		case <-v.end:
		case <-pause.C:
		}
		pause.Stop()
	}
}

// hasChanges reports whether there are changes worth saving.
func (v *saver) hasChanges() bool {
	return v.failed || v.store.version.Load() != v.saved || countAttempts(v.running()) != v.progress
}

// hasResults reports whether there are any changes.
func (v *saver) hasResults() bool { return v.store.recorded.Load() != v.recorded || v.hasChanges() }

func countAttempts(running []Unfinished) (attempts int) {
	for _, u := range running {
		attempts += u.Result.Attempts
	}
	return attempts
}

// trySave saves if that is necessary, and reports whether it was. It logs when saving begins to
// fail, and when it no longer does.
func (v *saver) trySave(necessary bool) bool {
	if !necessary {
		return false
	}
	err := v.save()
	switch {
	case err != nil && !v.failed:
		v.store.logger.Error("Failed to write state file", "file", v.file, "err", err)
	case err == nil && v.failed:
		v.store.logger.Info("Resumed writing state file", "file", v.file)
	}
	v.failed = err != nil
	return true
}

// save replaces the file.
func (v *saver) save() error {
	version, recorded, running := v.store.version.Load(), v.store.recorded.Load(), v.running()
	w := &stateWriter{lines: v.lines, written: make(map[*record]fileLine, len(v.lines)), limit: v.limit}
	if err := v.replace(w, running); err != nil {
		return fmt.Errorf("writing the state file: %w", err)
	}
	if w.omitted > 0 && v.omitted == 0 {
		v.store.logger.Warn("Omitted cached results from state file", "file", v.file, "results", w.omitted)
	}
	v.saved, v.recorded, v.progress, v.lines, v.omitted = version, recorded, countAttempts(running), w.written, w.omitted
	return nil
}

// replace writes the file. The one that it replaces is closed before, which Windows requires.
func (v *saver) replace(w *stateWriter, running []Unfinished) error {
	old, err := regularfile.Open(v.file, os.O_RDONLY, 0)
	if err == nil {
		w.old = old
		defer func() { _ = old.Close() }() // again, for an error before
	}
	return replaceFile(v.file, func(b *bufio.Writer) error {
		err := v.store.writeState(b, w, running)
		if old != nil {
			return errors.Join(err, old.Close())
		}
		return err
	})
}
