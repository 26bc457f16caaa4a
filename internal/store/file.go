// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// temporarySuffix ends the names of new files until they are complete. Digits precede it.
const temporarySuffix = ".new"

// replaceFile replaces a file with what write writes. The file has the old content or the new
// one at any moment: rename(2) is atomic, and the content and the directory are on the disk
// before replaceFile returns. Only the owner can read the new file.
func replaceFile(path string, write func(w *bufio.Writer) error) error {
	// CreateTemp uses O_EXCL, which follows no symbolic link, and mode 0600.
	next, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*"+temporarySuffix)
	if err != nil {
		return err
	}
	const bufferSize = 1 << 18
	w := bufio.NewWriterSize(next, bufferSize)
	err = write(w)
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = next.Sync()
	}
	err = errors.Join(err, next.Close())
	if err == nil {
		err = os.Rename(next.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(next.Name()))
	}
	return syncDirectory(filepath.Dir(path))
}

// warnWritable logs that other users can have changed the file. The first save replaces it with one
// that only its owner can write.
func (s *Store) warnWritable(path string) {
	const othersWrite = 0o022
	info, err := os.Lstat(path)
	if err == nil && info.Mode().IsRegular() && info.Mode()&othersWrite != 0 && runtime.GOOS != "windows" {
		s.logger.Warn("State file was writable by other users", "file", path, "mode", fmt.Sprintf("%04o", info.Mode().Perm()))
	}
}

// syncDirectory writes a directory's entries to the disk.
func syncDirectory(path string) error {
	if runtime.GOOS == "windows" { // which cannot do so
		return nil
	}
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}

// removeTemporary removes new files that a killed process has left incomplete. It ignores errors:
// a directory in which it cannot remove files cannot have new ones either.
func removeTemporary(path string) {
	entries, _ := os.ReadDir(filepath.Dir(path))
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), filepath.Base(path)+".")
		digits, isNew := strings.CutSuffix(middle, temporarySuffix)
		if ok && isNew && digits != "" && strings.Trim(digits, "0123456789") == "" && e.Type().IsRegular() {
			_ = os.Remove(filepath.Join(filepath.Dir(path), e.Name()))
		}
	}
}
