// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// TestAddDoesNotBlock writes to a pipe without a reader.
func TestAddDoesNotBlock(t *testing.T) {
	t.Parallel()
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	reader, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	l, dropped, _ := openLog(t, path)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				l.Add(Entry{Target: strings.Repeat("x", 50)})
			}
		})
	}
	all.Wait()
	if dropped.Load() == 0 {
		t.Error("got no dropped entries, so the queue was never full")
	}
	go func() { _, _ = reader.WriteTo(&strings.Builder{}) }()
	l.Close()
	_ = reader.Close()
}
