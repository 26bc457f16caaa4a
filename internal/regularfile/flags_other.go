// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package regularfile

const safeOpenFlags = 0
