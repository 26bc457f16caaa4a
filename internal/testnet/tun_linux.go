package testnet

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// openTUN makes a TUN device in this namespace, which lives as long as the file
// is open, and returns its name. What is read and written are IP packets.
func openTUN(t *testing.T) (device *os.File, name string) {
	t.Helper()
	const path = "/dev/net/tun"
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) {
		Skip(t, "no TUN device to be had: "+path+": "+err.Error())
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	request, err := unix.NewIfreq("far%d") // the kernel counts
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		t.Fatalf("%s: %v", path, err)
	}
	// Only now: the runtime waits for a file from the moment it knows it, and this
	// one was none to wait for without a device.
	return os.NewFile(uintptr(fd), path), request.Name()
}
