// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package regularfile

import (
	"bytes"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// must fails the test for each error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// TestOpenFileReplaced opens what replaced a regular file after the check of its path.
func TestOpenFileReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo, link := filepath.Join(dir, "fifo"), filepath.Join(dir, "link")
	must(t, unix.Mkfifo(fifo, 0o600), os.Symlink("missing", link))
	unchecked := func(string) (fs.FileInfo, error) { return nil, fs.ErrNotExist }
	for _, path := range []string{fifo, link} {
		if file, err := open(path, unchecked, os.O_APPEND|os.O_CREATE|os.O_WRONLY|noFollow, 0o600); err == nil {
			_ = file.Close()
			t.Errorf("opening %s for writing succeeded", path)
		}
	}
	if file, err := open(fifo, unchecked, os.O_RDONLY, 0); err == nil || !strings.Contains(err.Error(), "is a FIFO") {
		_ = file.Close()
		t.Errorf("opening a FIFO for reading = %v, want an error", err)
	}
}

func TestReadNotRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	must(t,
		unix.Mkfifo(in("fifo"), 0o600),
		os.Symlink("fifo", in("link to a FIFO")),
		os.Symlink("/dev/zero", in("link to a device")),
		os.Symlink("missing", in("dangling")),
		os.Symlink("loop", in("loop")),
	)
	listener, err := net.Listen("unix", in("socket"))
	must(t, err)
	defer func() { _ = listener.Close() }()
	for path, want := range map[string]string{
		dir:                       " is a directory: write the path of a regular file",
		in("fifo"):                " is a FIFO: write the path of a regular file",
		in("link to a FIFO"):      " is a FIFO: write the path of a regular file",
		in("link to a device"):    " is a device: write the path of a regular file",
		in("socket"):              " is a socket: write the path of a regular file",
		in("dangling"):            ": no such file or directory",
		in("loop"):                ": too many levels of symbolic links",
		in("missing"):             ": no such file or directory",
		in("fifo") + "/in a file": ": not a directory",
	} {
		if data, err := Read(path, 1); err == nil || !strings.HasSuffix(err.Error(), path+want) {
			t.Errorf("Read(%s) = %q, %v, want an error with %q", path, data, err, want)
		}
	}
}

// TestReadLimit has files with sizes about the limit, one that is sparse, and one that the kernel
// generates and reports as empty.
func TestReadLimit(t *testing.T) {
	t.Parallel()
	const limit = 1 << 20
	path, link := filepath.Join(t.TempDir(), "file"), filepath.Join(t.TempDir(), "link")
	must(t, os.Symlink(path, link))
	for size, fits := range map[int]bool{0: true, 1: true, limit - 1: true, limit: true, limit + 1: false, 1 << 30: false} {
		must(t, os.WriteFile(path, nil, 0o600), os.Truncate(path, int64(size)))
		data, err := Read(link, limit)
		switch {
		case fits && (err != nil || !bytes.Equal(data, make([]byte, size))):
			t.Errorf("Read of %d bytes = %d bytes, %v, want all", size, len(data), err)
		case !fits && (err == nil || err.Error() != link+" is larger than 1 MiB: write a smaller file"):
			t.Errorf("Read of %d bytes = %d bytes, %v, want an error", size, len(data), err)
		}
	}
	const generated = "/proc/self/status"
	if _, err := os.Stat(generated); err != nil {
		return
	}
	if data, err := Read(generated, limit); err != nil || !bytes.HasPrefix(data, []byte("Name:")) {
		t.Errorf("Read(%s) = %q, %v, want the content", generated, data, err)
	}
	if _, err := Read(generated, 10); err == nil || !strings.Contains(err.Error(), "is larger than 10 bytes") {
		t.Errorf("Read(%s) beyond the limit = %v, want an error", generated, err)
	}
}

// TestIsUnlinked reaches a deleted file through /proc, as a bind mount does.
func TestIsUnlinked(t *testing.T) {
	t.Parallel()
	file, err := os.CreateTemp(t.TempDir(), "")
	must(t, err)
	defer func() { _ = file.Close() }()
	if IsUnlinked(file.Name()) || IsUnlinked("/nonexistent") {
		t.Error("IsUnlinked = true before the file is removed, want false")
	}
	handles, err := filepath.Glob("/proc/self/fd/*")
	must(t, err, os.Remove(file.Name()))
	for _, handle := range handles {
		if to, err := os.Readlink(handle); err == nil && to == file.Name()+" (deleted)" {
			if !IsUnlinked(handle) {
				t.Error("IsUnlinked = false for a removed file, want true")
			}
			return
		}
	}
	if handles != nil {
		t.Error("/proc/self/fd does not list the file")
	}
}
