// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package regularfile

import (
	"io/fs"
	"os"
)

const noFollow = 0

func openFile(path string, flag int, mode fs.FileMode) (*os.File, error) {
	return os.OpenFile(path, flag, mode)
}

// IsUnlinked returns false: the system does not report it.
func IsUnlinked(string) bool { return false }
