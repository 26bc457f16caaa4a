package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"portscan_exporter/internal/scan"
)

// Error is one thing that is wrong with a configuration file, and what to write
// instead. It is a value that nobody changes once it was returned.
type Error struct {
	File string // as it was given to [Load], or the target file
	Line int    // counted from 1; 0: the file as a whole
	Path string // where in the YAML, such as targets[0].hosts[1]; empty: the file as a whole
	Msg  string // one line

	cause error // what the operating system said, if that is what is wrong
}

// Error returns "FILE:LINE: PATH: MSG", without the parts that are not known.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
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

// Unwrap returns what the operating system said, where a file can't be read.
func (e *Error) Unwrap() error { return e.cause }

// problems gathers what is wrong, so that the owner learns all of it at once.
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

// err returns all errors as one, sorted by file and line, or nil.
func (p *problems) err() error {
	all := make([]error, 0, len(p.errs))
	for _, e := range sortErrors(p.errs) {
		all = append(all, e)
	}
	return errors.Join(all...)
}

// warningLines returns all warnings, sorted by file and line.
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

// quote returns the text in quotes, on one line and truncated.
func quote(text string) string { return strconv.Quote(scan.Truncate(text, 60)) }

// oneLine joins the lines of a message that somebody else wrote.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
