// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package regularfile implements opening and reading of regular files only: no FIFO or device, on
// which a program can hang or read without an end, and no file without a bound.
package regularfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Error is the reason why a file is not opened or read. Its text names the path.
type Error struct {
	Path    string
	Problem string // with the fix, such as "is a FIFO: write the path of a regular file"
}

// Error implements error.
func (e *Error) Error() string { return e.Path + " " + e.Problem }

// Open opens the file like [os.OpenFile], if it is a regular one. It refuses a symbolic link, which
// can lead to a file of another program.
func Open(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return open(path, os.Lstat, flag|noFollow, mode)
}

// Read returns the content of the regular file to which the path leads, possibly through symbolic
// links. It refuses a file of more than limit bytes, without reading more than that. It can hang if
// the file system does.
func Read(path string, limit int64) ([]byte, error) {
	file, err := open(path, os.Stat, os.O_RDONLY, 0)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, &Error{path, "is locked by a lease of another program: try again later"}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	tooLarge := &Error{path, "is larger than " + formatSize(limit) + ": write a smaller file"}
	if info.Size() > limit {
		return nil, tooLarge
	}
	var content bytes.Buffer
	content.Grow(int(info.Size()) + bytes.MinRead)
	if _, err := content.ReadFrom(io.LimitReader(file, limit+1)); err != nil {
		return nil, err
	}
	if int64(content.Len()) > limit { // it has grown, or its file system reports no size
		return nil, tooLarge
	}
	return content.Bytes(), nil
}

func formatSize(size int64) string {
	const mebibyte = 1 << 20
	if size%mebibyte == 0 {
		return fmt.Sprintf("%d MiB", size/mebibyte)
	}
	return fmt.Sprintf("%d bytes", size)
}

// open checks the path before it opens it, because opening a device can have effects, and checks
// afterwards what it opened.
func open(path string, stat func(string) (fs.FileInfo, error), flag int, mode fs.FileMode) (*os.File, error) {
	if info, err := stat(path); err == nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	file, err := openFile(path, flag, mode)
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
		kind = "no regular file"
	}
	return &Error{path, "is " + kind + ": write the path of a regular file"}
}
