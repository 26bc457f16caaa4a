// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package printable implements the escaping of untrusted text for people: in logs, on a
// terminal, in the audit file and on pages.
//
// Names in requests, configuration files and errors of other systems can contain characters
// that do not appear, or that change how a terminal or browser displays the text around them.
package printable

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Escape returns the text as one line of visible characters. Control characters, bidirectional
// marks and other invisible characters are escaped as in JSON, for example \n or \u202e, and
// invalid UTF-8 is replaced by U+FFFD. Escaped text stays the same if it is escaped again, and
// JSON keeps its meaning.
func Escape(text string) string { return escape(text, isInvisible) }

// EscapeLines is like [Escape], but keeps line feeds.
func EscapeLines(text string) string {
	return escape(text, func(r rune) bool { return r != '\n' && isInvisible(r) })
}

func escape(text string, escapes func(rune) bool) string {
	if utf8.ValidString(text) && !strings.ContainsFunc(text, escapes) {
		return text
	}
	escaped := make([]byte, 0, len(text)+len(text)/8)
	for _, r := range text {
		if escapes(r) {
			escaped = appendEscape(escaped, r)
		} else {
			escaped = utf8.AppendRune(escaped, r)
		}
	}
	return string(escaped)
}

// appendEscape appends the character as a string in JSON has it.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	for _, unit := range utf16.Encode([]rune{r}) {
		dst = fmt.Appendf(dst, `\u%04x`, unit)
	}
	return dst
}

// isInvisible reports whether the character has no glyph of its own, other than a space. The
// property Other_Default_Ignorable_Code_Point has letters that are not displayed, for example
// the Hangul filler.
func isInvisible(r rune) bool {
	const space, del = ' ', 0x7f
	if space <= r && r < del {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp,
		unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// FindDeceptive returns the first control character, line separator or bidirectional mark of
// the text: these change how the text around them is displayed.
func FindDeceptive(text string) (rune, bool) {
	i := strings.IndexFunc(text, func(r rune) bool {
		return unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	})
	if i < 0 {
		return 0, false
	}
	r, _ := utf8.DecodeRuneInString(text[i:])
	return r, true
}

// writer escapes each call's text.
type writer struct{ next io.Writer }

// NewWriter returns a writer that escapes text as [EscapeLines] does. A character must not be
// split between two calls. It may be used concurrently if next may.
func NewWriter(next io.Writer) io.Writer { return writer{next} }

// Write implements [io.Writer].
func (w writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.next, EscapeLines(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}
