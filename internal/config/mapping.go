// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// mappingEntry is a key of a mapping with its value.
type mappingEntry struct {
	name string
	line int        // of the key
	node *yaml.Node // the value, never an alias
}

// Limits for nested merges (<<) and for all merges in a file.
const (
	maxMergeDepth = 10
	maxMerges     = 1000
)

// mergeSuffix is the end of the path of a merge.
const mergeSuffix = ".<<"

// mappingEntries returns the keys of a mapping, followed by merged keys (<<). A
// mapping's own keys take precedence over merged keys, and earlier merges over
// later ones. It reports an error and returns false if the node is not a mapping.
func (l *loader) mappingEntries(v value) ([]mappingEntry, bool) {
	if v.node.Kind != yaml.MappingNode {
		l.errorf(v, "must be a mapping: write %s", v.example)
		return nil, false
	}
	return l.flatten(v, 0), true
}

func (l *loader) flatten(v value, depth int) []mappingEntry {
	var found []mappingEntry
	var merges []value
	places := make(map[string]int) // lines of the keys
	content := v.node.Content
	for i := 0; i+1 < len(content); i += 2 {
		key := resolveAlias(content[i])
		e := mappingEntry{name: key.Value, line: content[i].Line, node: resolveAlias(content[i+1])}
		at := v.child(e, "")
		switch first, doubled := places[e.name]; {
		case key.Kind != yaml.ScalarNode:
			at = v
			at.line = e.line
			l.errorf(at, "key must be a scalar: write key: value")
		case doubled:
			l.errorf(at, "duplicate key, first used on line %d: write the key once", first)
		case key.Tag == "!!merge":
			places[e.name] = e.line
			at.path = v.path + mergeSuffix
			merges = append(merges, at)
		default:
			places[e.name] = e.line
			found = append(found, e)
		}
	}
	return l.merge(found, places, merges, depth)
}

// merge appends the keys of the merged mappings that are not in places.
func (l *loader) merge(found []mappingEntry, places map[string]int, merges []value, depth int) []mappingEntry {
	for _, from := range merges {
		into := strings.TrimSuffix(from.path, mergeSuffix)
		sources := []value{from}
		if from.node.Kind == yaml.SequenceNode {
			sources = from.items()
		}
		for _, source := range sources {
			if !l.canMerge(source, depth) {
				continue
			}
			source.path = into // the path of the merged keys
			for _, e := range l.flatten(source, depth+1) {
				if _, there := places[e.name]; !there {
					places[e.name] = e.line
					found = append(found, e)
				}
			}
		}
	}
	return found
}

// canMerge reports whether a value of << can be merged within the limits. An
// exceeded limit is reported once.
func (l *loader) canMerge(source value, depth int) bool {
	l.merges++
	switch {
	case source.node.Kind != yaml.MappingNode:
		l.errorf(source, "only mappings can be merged: write <<: *name, with the anchor &name on a mapping")
	case l.merges > maxMerges:
		if l.merges == maxMerges+1 {
			l.errorf(source, "more than %d merges (<<) in one file: write the keys out", maxMerges)
		}
	case depth >= maxMergeDepth:
		l.merges = maxMerges + 1 // a cycle would be reported repeatedly
		l.errorf(source, "merges (<<) form a cycle or are nested more than %d deep: write the keys out", maxMergeDepth)
	default:
		return true
	}
	return false
}
