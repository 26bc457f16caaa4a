// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
)

// suggest returns a fix for an unknown name: the nearest known name, or the first ones.
func suggest(name string, known []string) string {
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "write at least one first"
	}
	const limit = 30
	if more := len(known) - limit; more > 1 {
		return fmt.Sprintf("write one of %s, or one of %d more", strings.Join(known[:limit], ", "), more)
	}
	return "write one of " + strings.Join(known, ", ")
}

// Nearest returns the known name with the smallest edit distance, if this is small
// enough for a typing error. It is safe for concurrent use.
func Nearest(name string, known []string) (string, bool) {
	const longest = 64 // bytes; longer names are not typing errors
	if len(name) > longest {
		return "", false
	}
	best, least := "", min(max(1, len(name)/3)+1, len(name)) // at most a third of the name differs
	for _, k := range known {
		if len(k)-len(name) >= least || len(name)-len(k) >= least {
			continue // the distance is at least that of the lengths
		}
		if n := distance(strings.ToLower(name), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best, best != ""
}

// distance returns the number of characters to insert, delete, replace or swap
// with their neighbor.
func distance(a, b string) int {
	table := make([][]int, len(a)+1) // distances between the first i bytes of a and the first j bytes of b
	for i := range table {
		table[i] = make([]int, len(b)+1)
		table[i][0] = i
	}
	for j := range table[0] {
		table[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			replace := table[i-1][j-1]
			if a[i-1] != b[j-1] {
				replace++
			}
			table[i][j] = min(replace, table[i-1][j]+1, table[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				table[i][j] = min(table[i][j], table[i-2][j-2]+1)
			}
		}
	}
	return table[len(a)][len(b)]
}
