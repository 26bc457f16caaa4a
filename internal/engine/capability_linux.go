// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"golang.org/x/sys/unix"

	"portscan_exporter/internal/privilege"
)

// openRaw opens a socket that requires CAP_NET_RAW, which is in effect only for this call.
func openRaw(domain, kind, protocol int) (fd int, err error) {
	err = privilege.WithNetRaw(func() error {
		fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, protocol)
		return err
	})
	return fd, err
}
