// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package privilege

// Drop does nothing: this system has no capabilities.
func Drop() (before, after string, err error) { return "", "", nil }

// DropBeforeListening does nothing: this system has no capabilities.
func DropBeforeListening() (before, after string, err error) { return "", "", nil }
