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

// manyFiles is how many descriptors a host would like to have: a connection for
// every port, twice.
const manyFiles = 150_000

// raiseFiles lets the process have more descriptors, where it may. What it does
// not get is not missed until as many connections are held at once.
func raiseFiles(t *testing.T) {
	t.Helper()
	limit := unix.Rlimit{Cur: manyFiles, Max: manyFiles}
	err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
	if err != nil && !errors.Is(err, unix.EPERM) {
		t.Fatal(err)
	}
}

// transparent allows a listener to take connections to other addresses and
// ports than its own, which TPROXY asks for.
func transparent(network, _ string, c syscall.RawConn) error {
	level, option := unix.SOL_IP, unix.IP_TRANSPARENT
	if strings.HasSuffix(network, "6") {
		level, option = unix.SOL_IPV6, unix.IPV6_TRANSPARENT
	}
	return control(c, func(fd int) error { return unix.SetsockoptInt(fd, level, option, 1) })
}

// dieWithParent has the kernel end a program when this process ends without a
// word, so that nothing is left of a test that dies.
func dieWithParent(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }

// setBacklog changes how many connections a listener keeps that nobody accepts.
func setBacklog(l net.Listener, n int) error {
	tcp, ok := l.(*net.TCPListener)
	if !ok {
		return errors.ErrUnsupported
	}
	c, err := tcp.SyscallConn()
	if err != nil {
		return err
	}
	return control(c, func(fd int) error { return unix.Listen(fd, n) })
}

// control does something with a socket's descriptor.
func control(c syscall.RawConn, do func(fd int) error) error {
	var err error
	if failed := c.Control(func(fd uintptr) { err = do(int(fd)) }); failed != nil {
		return failed
	}
	return err
}
