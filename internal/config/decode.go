package config

import (
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// field is one key of a mapping.
type field struct {
	key      string
	example  string      // how to write it, for messages: `hosts: [192.0.2.10]`
	required bool        // a mapping without it is wrong
	decode   func(value) // called where the key is there and something stands after it
}

// fields reads a mapping whose keys are known. The fields are read in the order
// of the table, whatever the order in the file.
func (l *loader) decodeMapping(v value, table ...field) {
	found, ok := l.mappingEntries(v)
	if !ok {
		return
	}
	known := make([]string, 0, len(table))
	for _, f := range table {
		known = append(known, f.key)
		at, ok := findEntry(found, f.key)
		switch {
		case ok:
			l.decodeField(v.child(at, f.example), f)
		case f.required:
			l.errorf(v, "%s is missing: write %s", f.key, f.example)
		}
	}
	l.unknownKeys(v, found, known)
}

func (l *loader) decodeField(v value, f field) {
	switch {
	case !v.isNull():
		f.decode(v)
	case f.required:
		l.errorf(v, "value is missing: write %s", f.example)
	default:
		l.errorf(v, "value is missing: write %s, or remove the key", f.example)
	}
}

func findEntry(found []mappingEntry, key string) (mappingEntry, bool) {
	for _, e := range found {
		if e.name == key {
			return e, true
		}
	}
	return mappingEntry{}, false
}

var looksLikePorts = regexp.MustCompile(`^\d+(-\d+)?$`)

// unknownKeys reports the keys that are not in the table. In {open: 22,443} YAML
// makes a key of its own of what follows the comma: such keys are one mistake,
// and reported as one.
func (l *loader) unknownKeys(v value, found []mappingEntry, known []string) {
	for i := 0; i < len(found); i++ {
		e := found[i]
		if slices.Contains(known, e.name) {
			continue
		}
		end := i
		for end < len(found) && found[end].isStrayPort() {
			end++
		}
		if end == i {
			l.errorf(v.child(e, ""), "unknown key: %s", suggest(e.name, known))
			continue
		}
		if i == 0 || !isPlainPorts(found[i-1].node) {
			l.errorf(v.child(e, ""), `YAML parses the port as a key: write the list of ports in quotes, such as "22,443"`)
			continue
		}
		before := found[i-1]
		ports := make([]string, 0, 1+end-i)
		ports = append(ports, before.node.Value)
		for _, stray := range found[i:end] {
			ports = append(ports, stray.name)
		}
		l.errorf(v.child(before, ""), "YAML parses the text after the comma as a key: write %s: %q, with quotes",
			before.name, strings.Join(ports, ","))
		i = end - 1
	}
}

// isPlainPorts tells whether a list of ports may begin with what stands there.
func isPlainPorts(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && looksLikePorts.MatchString(n.Value)
}

// list returns the entries of a list. Where there is none it reports that.
func (l *loader) listItems(v value) []value {
	if v.node.Kind == yaml.SequenceNode {
		return v.items()
	}
	l.errorf(v, "must be a list: write %s", listExample(v))
	return nil
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.,/ -]*$`)

// listExample shows the list that was probably meant.
func listExample(v value) string {
	if key, _, ok := strings.Cut(v.example, ":"); ok && v.node.Kind == yaml.ScalarNode && plainText.MatchString(v.node.Value) {
		return key + ": [" + v.node.Value + "]"
	}
	return v.example
}

// texts returns a list's entries that are scalars; the others are reported, and
// left out.
func (l *loader) scalars(v value) (at []value, texts []string) {
	for _, item := range l.listItems(v) {
		if text, ok := l.scalar(item); ok {
			at, texts = append(at, item), append(texts, text)
		}
	}
	return at, texts
}

// scalar returns a scalar as it is written, whatever YAML's types would make of
// it: 0443 and 1e3 and 2027-06-30 and yes are texts. It returns false where it
// reported an error.
func (l *loader) scalar(v value) (string, bool) {
	switch n := v.node; {
	case v.isNull():
		l.errorf(v, "value is missing: write a value, or remove the entry")
	case strings.HasPrefix(n.Tag, "!") && n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str":
		l.errorf(v, "YAML tags are not supported: write the value without %s", quote(n.Tag))
	case n.Kind == yaml.ScalarNode:
		return n.Value, true
	case n.Kind == yaml.SequenceNode:
		l.errorf(v, "must not be a list: write %s", orSingleValue(v.example))
	case isColonAddress(n):
		l.errorf(v, "YAML parses the address as a key: write the address in quotes, %q", n.Content[0].Value+":")
	default:
		l.errorf(v, "must not be a mapping: write %s", orSingleValue(v.example))
	}
	return "", false
}

func orSingleValue(example string) string {
	if example == "" {
		return "a single value"
	}
	return example
}

// isColonAddress tells whether the mapping is what YAML makes of an IPv6 address
// such as fe80:: that ends in a colon and is not in quotes: the key "fe80:" with
// nothing after it.
func isColonAddress(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) == 2 &&
		strings.HasSuffix(n.Content[0].Value, ":") && value{node: n.Content[1]}.isNull()
}
