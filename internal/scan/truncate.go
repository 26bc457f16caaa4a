package scan

import "strings"

// Truncate returns text as a message repeats it: if it is longer than limit
// bytes, its beginning and an ellipsis.
func Truncate(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
