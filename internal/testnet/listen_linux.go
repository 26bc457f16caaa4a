// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package testnet

import (
	"errors"
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// fileLimit is the number of descriptors for two connections per port.
const fileLimit = 150_000

// raiseFileLimit raises the descriptor limit of the process if permitted. A lower limit
// matters only with as many concurrent connections.
func raiseFileLimit(t *testing.T) {
	t.Helper()
	limit := unix.Rlimit{Cur: fileLimit, Max: fileLimit}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
}

// transparent permits a listener to accept connections to other addresses and ports, as
// TPROXY requires.
func transparent(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	return controlSocket(c, func(fd int) error { return unix.SetsockoptInt(fd, level, option, 1) })
}

// killWithParent has the kernel kill a program when this process ends, so that a crashed test
// leaves no processes.
func killWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// setBacklog sets the backlog of a listener.
func setBacklog(l net.Listener, n int) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return errors.ErrUnsupported
	}
	c, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	return controlSocket(c, func(fd int) error { return unix.Listen(fd, n) })
}

// controlSocket calls a function with a socket's descriptor.
func controlSocket(c syscall.RawConn, do func(fd int) error) error {
	var err error
	if failed := c.Control(func(fd uintptr) { err = do(int(fd)) }); failed != nil {
		return failed
	}
	return err
}
