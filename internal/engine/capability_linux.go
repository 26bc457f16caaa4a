// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// openRaw opens a socket that requires CAP_NET_RAW. If the executable has the file
// capability cap_net_raw+p, as in the image, the capability is permitted but not effective
// (capabilities(7)). Then it is raised for this call, only for the calling thread.
func openRaw(domain, kind, protocol int) (fd int, err error) {
	fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
	if !errors.Is(err, unix.EPERM) {
		return fd, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	lower, raised := raiseNetRaw()
	if !raised {
		return -1, err
	}
	defer lower()
	return unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
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
