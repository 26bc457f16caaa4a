// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// value is a YAML node with its position.
type value struct {
	file    string
	line    int
	path    string
	node    *yaml.Node // never an alias; nil: the complete file
	example string     // of the key with a value, for messages: "timeout: 9s"; may be empty
}

// newError returns an error with a message of one printable line.
func (v value) newError(msg string) *Error {
	const limit = 2000 // bytes
	return &Error{File: v.file, Line: v.line, Path: v.path, Msg: scan.Truncate(printable.Escape(msg), limit)}
}

// isNull reports whether the value is empty, ~ or null.
func (v value) isNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// items returns the items of a list.
func (v value) items() []value {
	items := make([]value, 0, len(v.node.Content))
	for i, n := range v.node.Content {
		items = append(items, value{
			file: v.file,
			line: n.Line,
			path: fmt.Sprintf("%s[%d]", v.path, i),
			node: resolveAlias(n),
		})
	}
	return items
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)

// child returns the value of an entry.
func (v value) child(e mappingEntry, example string) value {
	name := e.name
	if len(name) > maxQuoted || !plainKey.MatchString(name) {
		name = quoteValue(name)
	}
	path := name
	if v.path != "" {
		path = v.path + "." + name
	}
	return value{file: v.file, line: e.line, path: path, node: e.node, example: example}
}

// resolveAlias returns the node that an alias refers to, which is never an alias.
func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// parse returns the root of a file with one document. example is an example of a
// file. It returns false after it has reported an error.
func (l *loader) parse(file string, data []byte, example string) (value, bool) {
	at := value{file: file}
	dec, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.errorf(at, "cannot read YAML: %s", oneLine(err.Error()))
		return value{}, false
	}
	var doc, second yaml.Node
	err = dec.Load(&doc)
	if errors.Is(err, io.EOF) || err == nil && isBlank(doc) {
		l.errorf(at, "file is empty: write %s", example)
		return value{}, false
	}
	if err == nil {
		err = dec.Load(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return value{file: file, line: doc.Content[0].Line, node: resolveAlias(doc.Content[0]), example: example}, true
	case err == nil:
		at.line = second.Line
		l.errorf(at, "file has a second YAML document: write one document, without this --- line")
	default:
		l.syntaxError(at, data, err)
	}
	return value{}, false
}

// isBlank reports whether a document is empty.
func isBlank(doc yaml.Node) bool {
	return len(doc.Content) == 0 || value{node: doc.Content[0]}.isNull()
}

// syntaxError reports an error of the YAML library with a hint about its cause.
func (l *loader) syntaxError(at value, data []byte, err error) {
	msg := err.Error()
	if le, ok := errors.AsType[*yaml.LoadError](err); ok {
		at.line = le.Mark.Line
		msg = le.Message
		if le.ContextMsg != "" {
			msg += " " + le.ContextMsg
		}
		if from := le.ContextMark.Line; from > 0 && from != at.line {
			msg += " that starts on line " + strconv.Itoa(from)
		}
	}
	if at.line == 0 {
		at.line = firstInvalidLine(data)
	}
	l.errorf(at, "invalid YAML: %s%s", oneLine(msg), syntaxHint(lineOf(data, at.line)))
}

func syntaxHint(line string) string {
	switch {
	case strings.Contains(line, "::"):
		return `; write IPv6 addresses in quotes, such as "2001:db8::"`
	case strings.HasPrefix(line, "\t"):
		return "; write spaces, not tabs, for indentation"
	default:
		return ""
	}
}

// firstInvalidLine returns the first line that is not UTF-8 or has control
// characters, or 0 if there is none.
func firstInvalidLine(data []byte) int {
	isControl := func(r rune) bool { return unicode.IsControl(r) && !strings.ContainsRune("\t\r\n", r) }
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if !utf8.Valid(line) || bytes.ContainsFunc(line, isControl) {
			return number
		}
	}
	return 0
}

// lineOf returns a line, starting at 1, or "" if there is none.
func lineOf(data []byte, line int) string {
	for text := range bytes.Lines(data) {
		line--
		if line == 0 {
			return string(text)
		}
	}
	return ""
}
