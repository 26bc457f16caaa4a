// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
)

// field is a known key of a mapping.
type field struct {
	key      string
	example  string      // of the key with a value, for messages: `hosts: [192.0.2.10]`
	required bool        // the key must be present
	unless   []string    // the keys that can replace a required one
	decode   func(value) // called if the key has a value
}

// decodeMapping decodes a mapping with known keys, in the order of the table
// instead of the order of the file.
func (l *loader) decodeMapping(v value, table ...field) {
	found, ok := l.mappingEntries(v)
	if !ok {
		return
	}
	known := make([]string, 0, len(table))
	for _, f := range table {
		known = append(known, f.key)
		if slices.ContainsFunc(found, func(e mappingEntry) bool { return slices.Contains(f.unless, e.name) }) {
			f.required = false
		}
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

// unknownKeys reports the keys that are not in the table. YAML parses the 443 in
// {open: 22,443} as a key; adjacent keys of this kind are reported as one error.
func (l *loader) unknownKeys(v value, found []mappingEntry, known []string) {
	for i := 0; i < len(found); i++ {
		e := found[i]
		if slices.Contains(known, e.name) {
			continue
		}
		end := i + countStrayPorts(found, i)
		if end == i {
			l.errorf(v.child(e, ""), "%s", describeUnknownKey(e, known))
			continue
		}
		if i == 0 || !isPlainPorts(found[i-1]) {
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

// describeUnknownKey returns the error for an unknown key. blackbox_exporter has keys for the IP
// version, too.
func describeUnknownKey(e mappingEntry, known []string) string {
	if !slices.Contains(known, "ip_protocol") {
		return "unknown key: " + suggest(e.name, known)
	}
	switch e.name {
	case "preferred_ip_protocol":
		version := scan.IPv4
		if e.node.Value == scan.IPv6.String() {
			version = scan.IPv6
		}
		return fmt.Sprintf("unknown key, of blackbox_exporter: write ip_protocol: %s to scan only those addresses, or remove the key to scan those of both IP versions", version)
	case "ip_protocol_fallback":
		return "unknown key, of blackbox_exporter: remove the key, and write ip_protocol: ip4 to scan only IPv4 addresses, or ip_protocol: any for both IP versions"
	default:
		return "unknown key: " + suggest(e.name, known)
	}
}

// listItems returns the items of a list, and reports an error for other nodes.
func (l *loader) listItems(v value) []value {
	if v.node.Kind == yaml.SequenceNode {
		return v.items()
	}
	l.errorf(v, "must be a list: write %s", listExample(v))
	return nil
}

var plainText = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.,/ -]*$`)

// listExample returns an example with the text of a scalar as the list's item.
func listExample(v value) string {
	if key, _, ok := strings.Cut(v.example, ":"); ok && v.node.Kind == yaml.ScalarNode && plainText.MatchString(v.node.Value) {
		return key + ": [" + v.node.Value + "]"
	}
	return v.example
}

// scalars returns the items of a list that are scalars, and reports the others.
func (l *loader) scalars(v value) (at []value, texts []string) {
	for _, item := range l.listItems(v) {
		if text, ok := l.scalar(item); ok {
			at, texts = append(at, item), append(texts, text)
		}
	}
	return at, texts
}

// scalar returns the text of a scalar as written: 0443, 1e3, 2027-06-30 and yes
// are not converted. If it reports an error, it returns false.
func (l *loader) scalar(v value) (string, bool) {
	switch n := v.node; {
	case v.isNull():
		l.errorf(v, "value is missing: write a value, or remove the entry")
	case strings.HasPrefix(n.Tag, "!") && n.Style&yaml.TaggedStyle != 0 && n.Tag != "!!str":
		l.errorf(v, "YAML tags are not supported: write the value without %s", quoteValue(n.Tag))
	case n.Kind == yaml.ScalarNode:
		l.warnVariable(v, n.Value)
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

// isColonAddress reports whether the mapping is an unquoted IPv6 address that
// ends in a colon, such as fe80::, which YAML parses as the key "fe80:" without a
// value.
func isColonAddress(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) == 2 &&
		strings.HasSuffix(n.Content[0].Value, ":") && value{node: n.Content[1]}.isNull()
}
