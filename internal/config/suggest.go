package config

import (
	"fmt"
	"strings"
)

// suggest says what to write instead of a name that is not known: the nearest
// known one where that is close, else all of them.
func suggest(name string, known []string) string {
	if near, ok := Nearest(name, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "write at least one first"
	}
	return "write one of " + strings.Join(known, ", ")
}

// Nearest returns the known name that takes the fewest changes to get to, if
// these are so few that it is likely what was meant. It may be called concurrently.
func Nearest(name string, known []string) (string, bool) {
	const longest = 64 // bytes; beyond that it is no slip of the finger
	if len(name) > longest {
		return "", false
	}
	best, least := "", min(max(1, len(name)/3)+1, len(name)) // another name altogether is none that was meant
	for _, k := range known {
		if n := distance(strings.ToLower(name), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, drop, replace or swap with their
// neighbor between two names.
func distance(a, b string) int {
	table := make([][]int, len(a)+1) // of the first i letters of a and the first j of b
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
