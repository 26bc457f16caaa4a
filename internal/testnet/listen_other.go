// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package testnet

import (
	"errors"
	"net"
	"os/exec"
	"syscall"
	"testing"
)

// raiseFileLimit does nothing, because test hosts require Linux.
func raiseFileLimit(*testing.T) {}

// transparent is supported only on Linux.
func transparent(string, string, syscall.RawConn) error { return errors.ErrUnsupported }

// openUDP does nothing, because test hosts require Linux.
func (*task) openUDP(*testing.T) {}

// killWithParent does nothing, because test hosts require Linux.
func killWithParent(*exec.Cmd) {}

// setBacklog is supported only on Linux.
func setBacklog(net.Listener, int) error { return errors.ErrUnsupported }
