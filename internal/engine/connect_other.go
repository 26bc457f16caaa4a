// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package engine

// NewConnect returns the connect engine at its best on this system, which is the
// portable one of [NewDial].
func NewConnect(budget *Budget) (*Engine, error) { return NewDial(budget) }
