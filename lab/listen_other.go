//go:build !linux

package lab

import (
	"errors"
	"net"
	"syscall"
	"testing"
)

// raiseFiles does nothing where there are no hosts.
func raiseFiles(*testing.T) {}

// transparent is Linux's.
func transparent(string, string, syscall.RawConn) error { return errors.ErrUnsupported }

// setBacklog is for hosts, and those are on Linux.
func setBacklog(net.Listener, int) error { return errors.ErrUnsupported }
