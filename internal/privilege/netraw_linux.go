// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// processLock is held for writing while the capabilities of all threads change, and for
// reading while one thread has CAP_NET_RAW in effect.
var processLock sync.RWMutex //nolint:gochecknoglobals // capabilities are global to the process, too

// WithNetRaw calls f with CAP_NET_RAW in effect for the calling thread, if it is permitted,
// and returns its error. It may be called concurrently.
func WithNetRaw(f func() error) error {
	processLock.RLock()
	defer processLock.RUnlock()
	// Threads that the runtime starts meanwhile do not inherit the capability: it clones them from an
	// unlocked thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if lower, raised := raiseNetRaw(); raised {
		defer lower()
	}
	return f()
}

// raiseNetRaw makes CAP_NET_RAW effective for the calling thread if it is permitted and not
// effective. The returned function restores the earlier state.
func raiseNetRaw() (lower func(), raised bool) {
	const bit = 1 << unix.CAP_NET_RAW
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var was [2]unix.CapUserData // the first has the capabilities 0 to 31
	if unix.Capget(&header, &was[0]) != nil || was[0].Permitted&bit == 0 || was[0].Effective&bit != 0 {
		return nil, false
	}
	now := was
	now[0].Effective |= bit
	if unix.Capset(&header, &now[0]) != nil {
		return nil, false
	}
	return func() { _ = unix.Capset(&header, &was[0]) }, true // dropping a capability is always permitted
}
