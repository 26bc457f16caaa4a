// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hangingFiles reads files like [readRegular], but hangs at some until it is released.
type hangingFiles struct {
	suffix   string // of the paths at which it hangs
	released chan struct{}
	waiting  atomic.Int32
}

func (h *hangingFiles) read(path string) (content, error) {
	if strings.HasSuffix(path, h.suffix) {
		h.waiting.Add(1)
		<-h.released
		h.waiting.Add(-1)
	}
	return readRegular(path)
}

// newHangingConfig returns a loaded configuration with two target files, which hangs afterwards.
func newHangingConfig(t *testing.T, suffix string) (*SafeConfig, *hangingFiles) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText+"target_files: ['targets.d/*.yml']\n")
	writeFile(t, filepath.Join(filepath.Dir(file), "targets.d", "a.yml"), "[]")
	writeFile(t, filepath.Join(filepath.Dir(file), "targets.d", "b.yml"), "[]")
	s, h := NewSafeConfig(file, nil), &hangingFiles{suffix: suffix, released: make(chan struct{})}
	if _, err := s.Reload(testTime()); err != nil {
		t.Fatal(err)
	}
	s.files.read = h.read
	return s, h
}

// TestReloadHangingFile reloads from a file system that does not respond for an hour.
func TestReloadHangingFile(t *testing.T) {
	t.Parallel()
	for suffix, want := range map[string]string{
		"config.yml":      "config.yml: cannot read file: file system did not respond within 10s: check the file system",
		"targets.d/a.yml": "targets.d/a.yml: file system did not respond within 10s: check the file system",
	} {
		synctest.Test(t, func(t *testing.T) {
			s, h := newHangingConfig(t, suffix)
			started := time.Now()
			_, err := s.Reload(testTime())
			if took := time.Since(started); err == nil || !strings.HasSuffix(err.Error(), want) || took != readTimeout {
				t.Errorf("Reload with a hanging %s = %v after %v, want %q after %v", suffix, err, took, want, readTimeout)
			}
			if len(SplitErrors(err)) != 1 {
				t.Errorf("Reload = %q, want one error", SplitErrors(err))
			}
			for range 3 {
				if _, err := s.Reload(testTime()); err == nil || !strings.Contains(err.Error(), "an earlier read still waits") {
					t.Errorf("next Reload = %v, want an error", err)
				}
				if _, err := s.Checksum(); err == nil {
					t.Error("Checksum = nil error, want an error")
				}
			}
			if n := h.waiting.Load(); n != 1 || s.Get() == nil {
				t.Errorf("got %d hanging goroutines, configuration %v, want 1 and the first one", n, s.Get())
			}
			time.Sleep(time.Hour)
			close(h.released)
			synctest.Wait()
			if _, err := s.Reload(testTime()); err != nil {
				t.Errorf("Reload when the file system responds = %v, want no error", err)
			}
		})
	}
}

// TestReloadHangingClose ends a reload that hangs, and what waits for it.
func TestReloadHangingClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, h := newHangingConfig(t, "config.yml")
		defer close(h.released)
		r := &Reloader{
			File: s.file, Config: s, Logger: slog.New(slog.DiscardHandler),
			Observe: func(bool, []string) {}, Apply: func(*Config) { t.Error("Apply was called") },
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go r.Watch(ctx, time.Second, "")
		started := time.Now()
		reloads := make(chan error, 2)
		go func() { reloads <- r.Reload() }()
		go func() {
			_, err := s.Reload(testTime())
			reloads <- err
		}()
		time.Sleep(3 * time.Second)
		s.Close()
		for range cap(reloads) {
			if err := <-reloads; err == nil || !strings.Contains(err.Error(), "exporter is shutting down") {
				t.Errorf("Reload after Close = %v, want an error", err)
			}
		}
		if took := time.Since(started); took != 3*time.Second {
			t.Errorf("reloads ended after %v, want 3s", took)
		}
	})
}

// TestReloadSlowFiles reads many files, each in less than the time for all.
func TestReloadSlowFiles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, _ := newHangingConfig(t, "none")
		s.files.read = func(path string) (content, error) {
			time.Sleep(readTimeout/2 - time.Second)
			return readRegular(path)
		}
		_, err := s.Reload(testTime())
		if err == nil || !strings.Contains(err.Error(), "b.yml: file system did not respond within 10s") {
			t.Errorf("Reload = %v, want an error at the third file", err)
		}
		time.Sleep(readTimeout)
	})
}
