// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package regularfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadLeasedFile reads a file with a write lease, which file servers take on behalf of their
// clients. Opening it would block until the lease is given up.
func TestReadLeasedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	holder, err := os.Create(path)
	must(t, err)
	defer func() { _ = holder.Close() }()
	_, err = unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_WRLCK)
	must(t, err)
	if _, err := Read(path, 1); err == nil || !strings.Contains(err.Error(), path+" is locked by a lease") {
		t.Errorf("Read of a leased file = %v, want an error", err)
	}
	_, err = unix.FcntlInt(holder.Fd(), unix.F_SETLEASE, unix.F_UNLCK)
	must(t, err)
	if _, err := Read(path, 1); err != nil {
		t.Errorf("Read after the lease = %v, want no error", err)
	}
}
