// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// decodeTargetFiles loads the files that the patterns match, each once.
func (l *loader) decodeTargetFiles(v value) {
	var read []string
	items, patterns := l.scalars(v)
	for i, pattern := range patterns {
		for _, file := range l.matchFiles(items[i], pattern) {
			if slices.Contains(read, file) { // matched by another pattern
				continue
			}
			read = append(read, file)
			l.loadTargetFile(items[i], file)
		}
	}
}

const globMeta = `\*?[`

// matchFiles returns the files that match a pattern, relative to the directory of
// the configuration file. A pattern without metacharacters is returned even if
// the file does not exist.
func (l *loader) matchFiles(at value, pattern string) []string {
	dir := filepath.Dir(l.file)
	switch {
	case pattern == "":
		l.errorf(at, "must not be empty: write a file name or a pattern, such as targets.d/*.yml")
		return nil
	case filepath.IsAbs(pattern):
		dir = ""
	}
	if !strings.ContainsAny(pattern, globMeta) {
		return []string{filepath.Join(dir, pattern)}
	}
	files, err := filepath.Glob(filepath.Join(escapeGlob(dir), pattern))
	if err != nil {
		l.errorf(at, "%s is not a valid pattern because a [ or \\ is unterminated: write a pattern such as targets.d/*.yml", quoteValue(pattern))
	}
	return files
}

// escapeGlob returns a pattern that matches only the directory itself.
func escapeGlob(dir string) string {
	var b strings.Builder
	for _, r := range dir {
		if strings.ContainsRune(globMeta, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// loadTargetFile loads a file that is a list of targets, or a mapping with the key
// targets. named is the entry of target_files that matches the file.
func (l *loader) loadTargetFile(named value, file string) {
	if file == filepath.Clean(l.file) {
		l.errorf(named, "pattern matches the configuration file itself: write a pattern for a separate directory, such as targets.d/*.yml")
		return
	}
	data, err := os.ReadFile(file)
	if err != nil {
		l.errs = append(l.errs, readError(named, err))
		return
	}
	l.merges = 0 // the limit is per file
	root, ok := l.parse(file, data, targetsExample)
	switch {
	case !ok:
	case root.node.Kind == yaml.SequenceNode:
		l.decodeTargets(root)
	default:
		l.decodeMapping(root, field{key: "targets", example: targetsExample, required: true, decode: l.decodeTargets})
	}
}

// Checksum returns the SHA-256, in hexadecimal, of the names and contents of the
// configuration file and all its target files. It detects changes without loading
// the configuration. If the file is not valid YAML, the checksum covers only this
// file. It returns an error if the configuration file cannot be read; a target
// file that cannot be read is covered by its error.
func Checksum(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", readError(value{file: file}, err)
	}
	sum := sha256.New()
	add := func(name string, data []byte) {
		head := fmt.Sprintf("%d:%s%d:", len(name), name, len(data)) // the lengths make the encoding unambiguous
		sum.Write([]byte(head))
		sum.Write(data)
	}
	add(file, data)
	for _, name := range targetFileNames(file, data) {
		add(name, readContents(name))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// readContents returns the contents of a target file, or the error of reading it.
func readContents(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

// targetFileNames returns the target files of a configuration, which may have
// errors.
func targetFileNames(file string, data []byte) []string {
	l := newLoader(file, time.Time{})
	root, ok := l.parse(file, data, modulesExample)
	if !ok || root.node.Kind != yaml.MappingNode {
		return nil
	}
	var files []string
	found, _ := l.mappingEntries(root)
	if e, ok := findEntry(found, "target_files"); ok {
		items, patterns := l.scalars(root.child(e, ""))
		for i, pattern := range patterns {
			files = append(files, l.matchFiles(items[i], pattern)...)
		}
	}
	return files
}
