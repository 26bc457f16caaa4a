// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// Error is an error in a configuration file with a suggested fix. It is immutable.
type Error struct {
	File string // as passed to [Load], or the target file
	Line int    // starting at 1; 0: the complete file
	Path string // such as targets[0].hosts[1]; empty: the complete file
	Msg  string // one line

	cause error // of a file that cannot be read
}

// Error returns "FILE:LINE: PATH: MSG" without the parts that are empty.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(printable.Escape(e.File))
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
	}
	b.WriteString(": ")
	if e.Path != "" {
		b.WriteString(e.Path)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Unwrap returns the cause if a file cannot be read.
func (e *Error) Unwrap() error { return e.cause }

// problems collects errors and warnings, so that all are reported at once.
type problems struct {
	errs     []*Error
	warnings []*Error
}

func (p *problems) errorf(at value, format string, args ...any) {
	p.errs = append(p.errs, at.newError(fmt.Sprintf(format, args...)))
}

func (p *problems) warnf(at value, format string, args ...any) {
	p.warnings = append(p.warnings, at.newError(fmt.Sprintf(format, args...)))
}

// err returns all errors joined and sorted by file and line, or nil.
func (p *problems) err() error {
	all := make([]error, 0, len(p.errs))
	for _, e := range sortErrors(p.errs) {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// warningLines returns the text of all warnings, sorted by file and line.
func (p *problems) warningLines() []string {
	lines := make([]string, 0, len(p.warnings))
	for _, w := range sortErrors(p.warnings) {
		lines = append(lines, w.Error())
	}
	return lines
}

func sortErrors(found []*Error) []*Error {
	return slices.SortedStableFunc(slices.Values(found), func(a, b *Error) int {
		return cmp.Or(strings.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
}

// maxQuoted is the maximum length of a quoted value, in bytes.
const maxQuoted = 60

func quoteValue(text string) string { return strconv.Quote(scan.Truncate(text, maxQuoted)) }

// oneLine joins the lines of a message of a library.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
