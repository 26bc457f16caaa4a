// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

// NewUDP returns the engine of UDP scans at its best on this system, which is the
// portable one.
func NewUDP(budget *Budget) (*Engine, error) { return NewDialUDP(budget) }
