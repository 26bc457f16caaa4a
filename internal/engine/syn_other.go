// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

import "errors"

// ErrNoRaw is the error of half-open scans on this system.
var ErrNoRaw = errors.New("not supported on this operating system: Linux is required")

// CheckSYN returns [ErrNoRaw]: half-open scans need Linux.
func CheckSYN() error { return ErrNoRaw }

// NewSYN returns [ErrNoRaw]: half-open scans need Linux.
func NewSYN(*Budget) (*Engine, error) { return nil, ErrNoRaw }
