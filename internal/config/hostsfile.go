// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/scan"
)

const (
	maxFileErrors = 20      // reported for a file or a list
	maxFileHosts  = 1 << 18 // entries of a file, for which hundreds of megabytes are enough
)

// hostsFile is the content of a file of hosts.
type hostsFile struct {
	hosts []scan.Host
	at    []value // one for each host
	valid bool
}

// hostsFile returns a decoder for the name of a file with further hosts.
func (l *loader) hostsFile(t *targetDraft) func(value) {
	return func(v value) {
		name, ok := l.scalar(v)
		switch {
		case !ok:
			return
		case name == "":
			l.errorf(v, "must not be empty: write %s, or remove the key", v.example)
			return
		case t.hostsAt.node == nil:
			t.hostsAt = v
		}
		f := l.loadHostsFile(v, hostsFilePath(v.file, name))
		t.invalid = t.invalid || !f.valid
		t.Hosts, t.hostAt = append(t.Hosts, f.hosts...), append(t.hostAt, f.at...)
		if len(t.Hosts) == 0 && f.valid {
			l.errorf(v, "%s has no hosts: write at least one, one per line, or remove the key", name)
		}
	}
}

// hostsFilePath returns the path of a file of hosts, relative to the directory of the file that
// names it.
func hostsFilePath(from, name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	return filepath.Join(filepath.Dir(from), name)
}

// loadHostsFile returns the content of a file, which is read once.
func (l *loader) loadHostsFile(at value, path string) *hostsFile {
	f, ok := l.hostsFiles[path]
	if !ok {
		f = &hostsFile{}
		l.hostsFiles[path] = f
		if data, ok := l.readFile(at, path); ok {
			l.parseHostsFile(f, path, data)
		}
	}
	return f
}

// parseHostsFile parses a file as nmap's -iL does: entries are separated by blanks, tabs and line
// breaks, and comments begin with #.
func (l *loader) parseHostsFile(f *hostsFile, path string, data []byte) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	data = bytes.ReplaceAll(bytes.ReplaceAll(data, []byte("\r\n"), []byte("\n")), []byte("\r"), []byte("\n"))
	if number := firstInvalidLine(data); number > 0 {
		l.errorf(value{file: path, line: number}, "line is not text in UTF-8 without control characters: write one host per line, in UTF-8")
		return
	}
	before, number := len(l.errs), 0
	for line := range strings.Lines(string(data)) {
		number++
		entries, _, _ := strings.Cut(line, "#")
		for text := range strings.FieldsSeq(entries) {
			if !l.addHost(f, value{file: path, line: number}, text, before) {
				return
			}
		}
	}
	f.valid = len(l.errs) == before
}

// addHost adds an entry of a file, and reports whether to go on with the file. before is the number
// of errors before the file.
func (l *loader) addHost(f *hostsFile, at value, text string, before int) bool {
	h, err := parseScannable(text)
	switch {
	case err == nil && len(f.hosts) == maxFileHosts:
		l.errorf(at, "file has more than %d hosts: write networks or ranges, such as 192.0.2.0/24", maxFileHosts)
		return false
	case err == nil:
		f.hosts, f.at = append(f.hosts, h), append(f.at, at)
	case len(l.errs)-before == maxFileErrors:
		l.errorf(at, "file has more than %d errors: correct those above, then check the file again", maxFileErrors)
		return false
	default:
		l.errorf(at, "%s", err)
	}
	return true
}

// listHostsFiles returns the files of hosts that the targets of a file name.
func (l *loader) listHostsFiles(file string, data []byte) []targetFile {
	const key = "hosts_file"
	if !bytes.Contains(data, []byte(key)) {
		return nil // parsing takes long
	}
	l.merges = 0 // the limit is per file
	targets, ok := l.parse(file, data, targetsExample)
	if ok && targets.node.Kind == yaml.MappingNode {
		targets, ok = l.findChild(targets, "targets")
	}
	if !ok || targets.node.Kind != yaml.SequenceNode {
		return nil
	}
	var found []targetFile
	for _, item := range targets.items() {
		if item.node.Kind != yaml.MappingNode {
			continue
		}
		if at, ok := l.findChild(item, key); ok && at.node.Kind == yaml.ScalarNode && at.node.Value != "" {
			found = append(found, targetFile{at, hostsFilePath(file, at.node.Value)})
		}
	}
	return found
}

// findChild returns the value of a key of a mapping.
func (l *loader) findChild(v value, key string) (value, bool) {
	found, _ := l.mappingEntries(v)
	e, ok := findEntry(found, key)
	if !ok {
		return value{}, false
	}
	return v.child(e, ""), true
}
