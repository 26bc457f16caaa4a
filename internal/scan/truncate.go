// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package scan

import "strings"

// Truncate returns text for use in a message: unchanged, or its first limit bytes and an
// ellipsis if it is longer.
func Truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
