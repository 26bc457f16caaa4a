// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package engine holds what implements [scan.Scanner]: how packets are sent,
// how fast, and what the answers mean.
//
// Engines get addresses that [scan.NewRequest] has checked and never a name.
// They share one [Budget], so that all scans together stay within what this
// machine can carry.
package engine
