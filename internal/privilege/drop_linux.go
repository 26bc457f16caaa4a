// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package privilege

import (
	"fmt"

	"golang.org/x/sys/unix"
	libcap "kernel.org/pub/linux/libs/security/libcap/cap"
)

// Drop drops all capabilities of all threads except CAP_NET_RAW, which stays permitted, but
// is not in effect. Programs that the process executes cannot regain them. It returns the
// capabilities before and after as cap_to_text(3) formats them. If it returns an error, the
// process may still have all of them.
func Drop() (before, after string, err error) { return drop() }

// DropBeforeListening is [Drop], but keeps CAP_NET_BIND_SERVICE in effect if it is permitted,
// for ports below 1024. Call Drop after listening.
func DropBeforeListening() (before, after string, err error) { return drop(libcap.NET_BIND_SERVICE) }

// drop keeps CAP_NET_RAW permitted, and the given capabilities in effect.
func drop(effective ...libcap.Value) (before, after string, err error) {
	processLock.Lock()
	defer processLock.Unlock()
	had, err := libcap.GetPID(0)
	if err != nil {
		return "", "", fmt.Errorf("reading capabilities: %w", err)
	}
	want, err := reduce(had, effective)
	if err != nil {
		return "", "", fmt.Errorf("selecting capabilities: %w", err)
	}
	before, after = had.String(), had.String()
	// A seccomp filter may refuse even a call that changes nothing.
	if diff, err := had.Cf(want); err != nil || diff != 0 {
		if err := apply(had, want); err != nil {
			return before, after, fmt.Errorf("setting capabilities to %q: %w", want, err)
		}
		after = want.String()
	}
	// An executed program would regain them as root, by its file capabilities or by its set-user-ID bit.
	if _, err := libcap.Prctlw(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0); err != nil {
		return before, after, fmt.Errorf("setting no_new_privs: %w", err)
	}
	return before, after, nil
}

// reduce returns the capabilities to keep.
func reduce(had *libcap.Set, effective []libcap.Value) (*libcap.Set, error) {
	want := libcap.NewSet()
	for _, value := range append([]libcap.Value{libcap.NET_RAW}, effective...) {
		has, err := had.GetFlag(libcap.Permitted, value)
		if err != nil {
			return nil, err
		}
		if err := want.SetFlag(libcap.Permitted, has, value); err != nil {
			return nil, err
		}
		if err := want.SetFlag(libcap.Effective, has && value != libcap.NET_RAW, value); err != nil {
			return nil, err
		}
	}
	return want, nil
}

// apply sets the capabilities of all threads. Nothing is inheritable or ambient then. The
// bounding set is emptied if that is permitted.
func apply(had, want *libcap.Set) error {
	inherited := libcap.NewIAB()
	bounds, err := had.GetFlag(libcap.Permitted, libcap.SETPCAP)
	if err != nil {
		return err
	}
	if bounds {
		if err := inherited.Fill(libcap.Bound, libcap.NewSet(), libcap.Permitted); err != nil {
			return err
		}
	}
	if err := inherited.SetProc(); err != nil {
		return err
	}
	return want.SetProc()
}
