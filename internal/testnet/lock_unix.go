// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package testnet

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// lockMachine waits for a lock that all isolated tests on this machine share, or that one
// test holds exclusively. It is released at the end of the test.
func lockMachine(t *testing.T, exclusively bool) {
	t.Helper()
	file, err := openLock(filepath.Join(os.TempDir(), "portscan-testnet.lock")) //nolint:usetesting // shared by all tests
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	mode := unix.LOCK_SH
	if exclusively {
		mode = unix.LOCK_EX
	}
	for err = unix.EINTR; errors.Is(err, unix.EINTR); {
		err = unix.Flock(int(file.Fd()), mode)
	}
	if err != nil {
		t.Fatalf("locking %s: %v", file.Name(), err)
	}
}

// openLock opens the file. In a folder such as /tmp, the kernel refuses to open a file of
// another user with O_CREAT (proc_sys_fs(5), protected_regular).
func openLock(name string) (*os.File, error) {
	file, err := os.Open(name)
	if !errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	file, err = os.OpenFile(name, os.O_RDONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return os.Open(name)
	}
	return file, err
}
