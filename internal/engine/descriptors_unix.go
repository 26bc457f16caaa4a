// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package engine

import "golang.org/x/sys/unix"

// descriptorLimit returns how many sockets may be open for attempts at once:
// RLIMIT_NOFILE, whose soft limit Go has raised at start, less the reserve.
func descriptorLimit() int {
	const unlimited = 1 << 20 // more than any scan can use
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return defaultDescriptors
	}
	descriptors := unlimited
	if uint64(limit.Cur) < unlimited { //nolint:unconvert // the field is signed on some systems
		descriptors = int(limit.Cur)
	}
	return max(1, descriptors-descriptorReserve(descriptors))
}
