// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package regularfile

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const noFollow = unix.O_NOFOLLOW // of symbolic links

// openFile opens a file without waiting for the other end of a FIFO. Unlike [os.OpenFile], it does
// not register the file with the runtime's network poller: a file system in user space that hangs
// would block all connections of the process.
func openFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	for {
		fd, err := unix.Open(path, flag|unix.O_NONBLOCK|unix.O_CLOEXEC, uint32(mode.Perm()))
		if errors.Is(err, unix.EINTR) { // a signal of the runtime's scheduler
			continue
		}
		if err == nil {
			err = unix.SetNonblock(fd, false) // NewFile registers non-blocking files
		}
		if err != nil {
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		}
		return os.NewFile(uintptr(fd), path), nil
	}
}

// IsUnlinked reports whether the path leads to a file that is in no directory. A file that is the
// source of a bind mount is that after another file has replaced it there.
func IsUnlinked(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Nlink == 0
}
