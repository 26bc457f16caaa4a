// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package server

import (
	"net"
	"time"
)

// sinceLastData returns 0: this system does not report when data was received.
func sinceLastData(*net.TCPConn) time.Duration { return 0 }
