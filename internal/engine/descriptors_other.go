// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package engine

// maxAttempts is the maximum number of attempts in flight where no limit of descriptors is
// known.
const maxAttempts = defaultDescriptors

// maxDescriptors returns the number of descriptors that the process may open. Windows has no
// limit to ask for.
func maxDescriptors() int { return unlimitedDescriptors }
