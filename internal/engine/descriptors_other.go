// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package engine

// descriptorLimit returns how many sockets may be open for attempts at once.
// Windows has no limit to ask for.
func descriptorLimit() int { return defaultDescriptors }
