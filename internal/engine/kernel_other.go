// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import (
	"fmt"
	"runtime"
)

// CheckErrorQueue returns an error: only Linux queues ICMP errors of TCP attempts, see
// [NewDial].
func CheckErrorQueue() error {
	return fmt.Errorf("not supported on %s: Linux is required", runtime.GOOS)
}
