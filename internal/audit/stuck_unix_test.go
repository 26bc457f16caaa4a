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

// TestStuckDisk writes to a pipe that nobody reads: nobody is held up by it.
func TestStuckDisk(t *testing.T) {
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
	l, failed, _ := testLog(t, path)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				l.Add(Entry{Target: strings.Repeat("x", 50)})
			}
		})
	}
	all.Wait() // it did not wait for a reader
	if failed.Load() == 0 {
		t.Error("nothing was lost, so nothing was tested")
	}
	go func() { _, _ = reader.WriteTo(&strings.Builder{}) }()
	l.Close()
	_ = reader.Close()
}
