// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package regularfile

import "golang.org/x/sys/unix"

// safeOpenFlags prevent that opening follows a symbolic link or waits for the reader of a
// FIFO. O_NONBLOCK has no effect on regular files.
const safeOpenFlags = unix.O_NOFOLLOW | unix.O_NONBLOCK
