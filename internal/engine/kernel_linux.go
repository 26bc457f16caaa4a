// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// queueMajor and queueMinor are the first release of Linux that queues ICMP errors of TCP
// attempts (commit 45af29ca761c, "tcp: allow traceroute -Mtcp for unpriv users").
const queueMajor, queueMinor = 5, 8

// CheckErrorQueue returns an error if the kernel does not queue ICMP errors of TCP
// attempts. Then a connect scan cannot distinguish an ICMP error from a RST, see
// [NewConnect].
func CheckErrorQueue() error {
	release := kernelRelease()
	if queuesErrors(release) {
		return nil
	}
	return fmt.Errorf("kernel release %q is older than %d.%d", release, queueMajor, queueMinor)
}

// kernelRelease returns the kernel's release (uname(2)), or an empty string.
func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return ""
	}
	return unix.ByteSliceToString(name.Release[:])
}

// queuesErrors reports whether a kernel of the release queues ICMP errors of TCP attempts.
// A release that does not begin with two numbers counts as old. Nothing is lost by that:
// entries of the error queue have precedence in any case.
func queuesErrors(release string) bool {
	first, rest, ok := strings.Cut(release, ".")
	if !ok {
		return false
	}
	second := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789"))]
	major, err := strconv.ParseUint(first, 10, 16)
	if err != nil {
		return false
	}
	minor, err := strconv.ParseUint(second, 10, 16)
	if err != nil {
		return false
	}
	return major > queueMajor || major == queueMajor && minor >= queueMinor
}
