package config

import (
	"fmt"
	"strings"
)

// suggest says what to write instead of a word that is not known: the nearest
// known one where that is close, else all of them.
func suggest(word string, known []string) string {
	if near, ok := nearest(word, known); ok {
		return fmt.Sprintf("did you mean %q?", near)
	}
	if len(known) == 0 {
		return "there is none to choose from"
	}
	return "write one of " + strings.Join(known, ", ")
}

// nearest returns the known word that takes the fewest changes to get to, if
// these are so few that it is likely what was meant.
func nearest(word string, known []string) (string, bool) {
	const longest = 64 // bytes; beyond that it is no slip of the finger
	if len(word) > longest {
		return "", false
	}
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if n := distance(strings.ToLower(word), strings.ToLower(k)); n < least {
			best, least = k, n
		}
	}
	return best, best != ""
}

// distance counts the letters to insert, drop or replace between two words
// (Levenshtein), keeping one row of the table.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
