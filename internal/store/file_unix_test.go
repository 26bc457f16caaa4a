// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package store

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStateFileNotRegular has paths that the store must neither read nor follow.
func TestStateFileNotRegular(t *testing.T) {
	t.Parallel()
	for name, create := range map[string]func(path string) error{
		"a symbolic link": func(path string) error {
			if err := os.WriteFile(path+".other", []byte("other"), 0o600); err != nil {
				return err
			}
			return os.Symlink(path+".other", path)
		},
		"a FIFO":      func(path string) error { return unix.Mkfifo(path, 0o600) },
		"a directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"a socket": func(path string) error {
			l, err := net.Listen("unix", path)
			if err != nil {
				return err
			}
			l.(*net.UnixListener).SetUnlinkOnClose(false)
			return l.Close()
		},
	} {
		directory := t.TempDir()
		file := filepath.Join(directory, "s")
		if err := create(file); err != nil {
			t.Fatal(err)
		}
		s := newStateStore(t, nil)
		err := s.Restore(file, StateOptions{})
		s.Close()
		if err == nil || !strings.Contains(err.Error(), file+" is "+name+": write the path of a regular file") {
			t.Errorf("Restore(%s) = %v, want an error", name, err)
		}
		if got := directoryNames(t, directory); got != "s" && got != "s s.other" {
			t.Errorf("%s: files %s, want s", name, got)
		}
		if data, err := os.ReadFile(file + ".other"); err == nil && string(data) != "other" {
			t.Errorf("%s: content %q, want other", name, data)
		}
	}
}

// TestStateFileDevice has devices without an end.
func TestStateFileDevice(t *testing.T) {
	t.Parallel()
	if err := newStateStore(t, nil).Restore("/dev/zero", StateOptions{}); err == nil || !strings.Contains(err.Error(), "/dev/zero is a device") {
		t.Errorf("Restore(/dev/zero) = %v, want an error", err)
	}
}

// TestTemporaryFileLinks has symbolic links with names of new files.
func TestTemporaryFileLinks(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	file, other := filepath.Join(directory, "state.json"), filepath.Join(directory, "other")
	if err := os.WriteFile(other, []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"state.json.new", "state.json.1.new"} {
		if err := os.Symlink(other, filepath.Join(directory, name)); err != nil {
			t.Fatal(err)
		}
	}
	s := newStateStore(t, nil)
	if err := s.Restore(file, StateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if data, err := os.ReadFile(other); err != nil || string(data) != "other" {
		t.Errorf("content of the link's target: %q, %v, want other", data, err)
	}
	if got := directoryNames(t, directory); got != "other state.json state.json.1.new state.json.new" {
		t.Errorf("files %s, want the links and the state file", got)
	}
}
