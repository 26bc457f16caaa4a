// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import "golang.org/x/sys/unix"

// maxAttempts is the maximum number of attempts in flight. Descriptors limit it further.
const maxAttempts = unlimitedDescriptors

// maxDescriptors returns the number of descriptors that the process may open: RLIMIT_NOFILE,
// whose soft limit Go has raised at start.
func maxDescriptors() int {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return defaultDescriptors
	}
	if uint64(limit.Cur) < unlimitedDescriptors { //nolint:unconvert // the field is signed on some systems
		return int(limit.Cur)
	}
	return unlimitedDescriptors
}
