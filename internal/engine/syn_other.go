// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import "errors"

// ErrNoRaw says that this process may not make packets of its own.
var ErrNoRaw = errors.New("not supported on this operating system: Linux is required")

// CheckSYN returns [ErrNoRaw]: half-open scans are Linux's.
func CheckSYN() error { return ErrNoRaw }

// NewSYN returns [ErrNoRaw]: half-open scans are Linux's.
func NewSYN(*Budget) (*Engine, error) { return nil, ErrNoRaw }
