//go:build !linux

package testnet

import (
	"errors"
	"net"
	"os/exec"
	"syscall"
	"testing"
)

// raiseFiles does nothing where there are no hosts.
func raiseFiles(*testing.T) {}

// transparent is Linux's.
func transparent(string, string, syscall.RawConn) error { return errors.ErrUnsupported }

// openUDP is for hosts, and those are on Linux.
func (*task) openUDP(*testing.T) {}

// dieWithParent is for programs in hosts.
func dieWithParent(*exec.Cmd) {}

// setBacklog is for hosts, and those are on Linux.
func setBacklog(net.Listener, int) error { return errors.ErrUnsupported }
