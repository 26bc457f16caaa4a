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
)

// value is a node of a file, and where it stands.
type value struct {
	file    string
	line    int
	path    string
	node    *yaml.Node // never an alias; nil: the file as a whole
	example string     // how to write it, for messages: "timeout: 9s"; empty where nothing helps
}

func (v value) newError(msg string) *Error {
	return &Error{File: v.file, Line: v.line, Path: v.path, Msg: msg}
}

// isNull tells whether nothing, ~ or null is written.
func (v value) isNull() bool { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// items returns the entries of a list.
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

// child returns the value of a key.
func (v value) child(e mappingEntry, example string) value {
	name := e.name
	if !plainKey.MatchString(name) {
		name = quote(name)
	}
	path := name
	if v.path != "" {
		path = v.path + "." + name
	}
	return value{file: v.file, line: e.line, path: path, node: e.node, example: example}
}

// follow returns the node that an alias stands for. The anchor of an alias is
// never on an alias itself.
func resolveAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// parse reads the only document of a file; form is how to write one. It returns
// false where it reported an error.
func (l *loader) parse(file string, data []byte, example string) (value, bool) {
	whole := value{file: file}
	dec, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		l.errorf(whole, "cannot read YAML: %s", oneLine(err.Error()))
		return value{}, false
	}
	var doc, second yaml.Node
	err = dec.Load(&doc)
	if errors.Is(err, io.EOF) || err == nil && isBlank(doc) {
		l.errorf(whole, "file is empty: write %s", example)
		return value{}, false
	}
	if err == nil {
		err = dec.Load(&second)
	}
	switch {
	case errors.Is(err, io.EOF):
		return value{file: file, line: doc.Content[0].Line, node: resolveAlias(doc.Content[0]), example: example}, true
	case err == nil:
		whole.line = second.Line
		l.errorf(whole, "file has a second YAML document: write one document, without this --- line")
	default:
		l.syntaxError(whole, data, err)
	}
	return value{}, false
}

// isBlank tells whether a document has nothing in it.
func isBlank(doc yaml.Node) bool {
	return len(doc.Content) == 0 || value{node: doc.Content[0]}.isNull()
}

// syntaxError reports what the YAML library said, with what is usually behind it.
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

// firstInvalidLine returns the first line that YAML can't hold, because it is not
// UTF-8 or has control characters, or 0 if there is none.
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

// lineOf returns a line of the file, counted from 1, or "" if there is none.
func lineOf(data []byte, line int) string {
	for text := range bytes.Lines(data) {
		line--
		if line == 0 {
			return string(text)
		}
	}
	return ""
}
