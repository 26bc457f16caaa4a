// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Command filecap sets the capability CAP_NET_RAW of a file, like `setcap cap_net_raw=p
// FILE`, for build stages that have no setcap.
package main

import (
	"fmt"
	"os"

	libcap "kernel.org/pub/linux/libs/security/libcap/cap"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "filecap:", err)
		os.Exit(1) //nolint:forbidigo // a command
	}
}

// run permits the capability. It does not set the effective flag, so that the program also
// starts if the capability is dropped.
func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: filecap FILE")
	}
	capabilities, err := libcap.FromText("cap_net_raw=p")
	if err != nil {
		return err
	}
	if err := capabilities.SetFile(args[0]); err != nil {
		return fmt.Errorf("setting CAP_NET_RAW on %s: %w", args[0], err)
	}
	return nil
}
