// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenNotRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inDir := func(name string) string { return filepath.Join(dir, name) }
	for _, err := range []error{
		unix.Mkfifo(inDir("fifo"), 0o600),
		unix.Mkfifo(inDir("fifo with reader"), 0o600),
		os.WriteFile(inDir("regular"), nil, 0o600),
		os.Symlink("regular", inDir("link")),
		os.Symlink("missing", inDir("dangling")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	reader, err := os.OpenFile(inDir("fifo with reader"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	listener, err := net.Listen("unix", inDir("socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	for path, want := range map[string]string{
		dir:                        "is a directory",
		inDir("fifo"):              "is a FIFO",
		inDir("fifo with reader"):  "is a FIFO",
		inDir("link"):              "is a symbolic link",
		inDir("dangling"):          "is a symbolic link",
		inDir("socket"):            "is a socket",
		"/dev/null":                "is a device",
		inDir("missing/audit.log"): "no such file or directory",
	} {
		_, err := Open(path, func() {}, slog.New(slog.DiscardHandler))
		if err == nil || !strings.Contains(err.Error(), path+" "+want) && !strings.Contains(err.Error(), path+": "+want) {
			t.Errorf("Open(%s) = %v, want an error with %q", path, err, want)
		}
	}
	if _, err := os.Lstat(inDir("missing")); err == nil {
		t.Error("Open created the destination of a symbolic link")
	}
}

func TestOpenMode(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ before, want os.FileMode }{
		{0, 0o600}, {0o600, 0o600}, {0o640, 0o640}, {0o644, 0o644}, {0o620, 0o600}, {0o602, 0o600}, {0o666, 0o600}, {0o777, 0o600},
	} {
		path := filepath.Join(t.TempDir(), "audit.log")
		if tc.before != 0 {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tc.before); err != nil {
				t.Fatal(err)
			}
		}
		l, _, messages := openLog(t, path)
		l.Close()
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != tc.want {
			t.Errorf("mode %04o becomes %04o, %v, want %04o", tc.before, info.Mode().Perm(), err, tc.want)
		}
		warned := strings.Contains(messages.String(), fmt.Sprintf("Restricted mode of audit file\" file=%s old_mode=%04o", path, tc.before))
		if want := tc.before&0o022 != 0; warned != want {
			t.Errorf("mode %04o: messages = %q, want a warning: %t", tc.before, messages.String(), want)
		}
	}
}

func TestOpenForeignFile(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, NOT TESTED: only root can give a file to another user")
	}
	for mode, want := range map[os.FileMode]string{0o600: "", 0o666: "belongs to user ID 1 and has mode 0666"} {
		path := filepath.Join(t.TempDir(), "audit.log")
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(path, 1, 1); err != nil {
			t.Skip("SKIPPED, NOT TESTED:", err) // a user namespace without that user
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		l, err := Open(path, func() {}, slog.New(slog.DiscardHandler))
		l.Close()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), path+" "+want) {
			t.Errorf("Open of a file with mode %04o of another user = %v, want %q", mode, err, want)
		}
	}
}
