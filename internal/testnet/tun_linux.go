// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTUN creates a TUN device in this namespace and returns its file, which reads and writes
// IP packets, and its name. The device exists while the file is open.
func openTUN(t *testing.T) (device *os.File, name string) {
	t.Helper()
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		Skip(t, "cannot open a TUN device: "+path+": "+err.Error())
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	request, err := unix.NewIfreq("simulated%d") // the kernel assigns the number
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		t.Fatalf("%s: %v", path, err)
	}
	// The runtime can poll the file only after the device is attached.
	return os.NewFile(uintptr(fd), path), request.Name()
}
