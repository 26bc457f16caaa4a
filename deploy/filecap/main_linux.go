// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Command filecap sets the capability CAP_NET_RAW of a file, like `setcap cap_net_raw+p
// FILE`, for build stages that have no setcap.
package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "filecap:", err)
		os.Exit(1) //nolint:forbidigo // a command
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("usage: filecap FILE")
	}
	if err := unix.Setxattr(args[0], "security.capability", permitted(unix.CAP_NET_RAW), 0); err != nil {
		return fmt.Errorf("setting CAP_NET_RAW on %s: %w", args[0], err)
	}
	return nil
}

// permitted returns a struct vfs_cap_data (linux/capability.h) that permits one of the
// capabilities 0 to 31. It does not set the effective flag, so that the program also
// starts if the capability is dropped.
func permitted(capability uint) []byte {
	const revision, words = 0x0200_0000, 5
	data := make([]byte, 0, 4*words)
	for _, word := range [words]uint32{revision, 1 << capability} {
		data = binary.LittleEndian.AppendUint32(data, word)
	}
	return data
}
