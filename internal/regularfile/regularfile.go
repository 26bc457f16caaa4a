// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package regularfile implements opening of regular files only: neither a FIFO or device, on which a
// program can hang, nor a symbolic link, which can lead to a file of another program.
package regularfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Open opens the file like [os.OpenFile], if it is a regular one. It checks the path before it
// opens it, because opening a device can have effects and opening a FIFO can block, and checks
// afterwards what it opened. The error names the path.
func Open(path string, flag int, mode fs.FileMode) (*os.File, error) {
	if info, err := os.Lstat(path); err == nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	file, err := os.OpenFile(path, flag|safeOpenFlags, mode)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = check(path, info) // it may have been replaced meanwhile
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// check returns an error unless the file is a regular one.
func check(path string, info fs.FileInfo) error {
	var kind string
	switch info.Mode().Type() {
	case 0:
		return nil
	case fs.ModeDir:
		kind = "a directory"
	case fs.ModeSymlink:
		kind = "a symbolic link"
	case fs.ModeNamedPipe:
		kind = "a FIFO"
	case fs.ModeSocket:
		kind = "a socket"
	case fs.ModeDevice, fs.ModeDevice | fs.ModeCharDevice:
		kind = "a device"
	default:
		kind = "not a regular file"
	}
	return fmt.Errorf("%s is %s: write the path of a regular file", path, kind)
}
