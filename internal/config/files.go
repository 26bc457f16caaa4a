// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// targetFile is a file with targets.
type targetFile struct {
	at   value // the entry of target_files that matches it
	path string
}

// decodeTargetFiles loads the files that the patterns match, each once.
func (l *loader) decodeTargetFiles(v value) {
	for _, f := range l.findTargetFiles(v) {
		l.loadTargetFile(f)
	}
}

// findTargetFiles returns the files that the patterns match, each once.
func (l *loader) findTargetFiles(v value) []targetFile {
	var found []targetFile
	seen := make(map[string]bool)
	items, patterns := l.scalars(v)
	for i, pattern := range patterns {
		for _, path := range l.matchFiles(items[i], pattern) {
			switch {
			case path == filepath.Clean(l.file):
				l.errorf(items[i], "pattern matches the configuration file itself: write a pattern for a separate directory, such as targets.d/*.yml")
			case !seen[path]:
				seen[path] = true
				found = append(found, targetFile{items[i], path})
			}
		}
	}
	return found
}

const globMeta = `\*?[`

// matchFiles returns the files that a pattern matches, relative to the directory of
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
	literal := filepath.Dir(pattern)
	for strings.ContainsAny(literal, globMeta) {
		literal = filepath.Dir(literal)
	}
	literal = filepath.Join(dir, literal)
	files, err := await(l.files, func() ([]string, error) { return globFiles(literal, filepath.Join(escapeGlob(dir), pattern)) })
	switch {
	case errors.Is(err, filepath.ErrBadPattern):
		l.errorf(at, "%s is not a valid pattern because a [ or \\ is unterminated: write a pattern such as targets.d/*.yml", quoteValue(pattern))
	case err != nil:
		l.readError(at, literal, err)
	}
	return files
}

// globFiles returns the names that match the pattern, without hidden ones and those of
// directories. literal is the pattern's directory without metacharacters. If it cannot
// be read, [filepath.Glob] returns no error.
func globFiles(literal, pattern string) ([]string, error) {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	if _, err := os.ReadDir(literal); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return slices.DeleteFunc(files, func(path string) bool {
		info, err := os.Stat(path)
		return isHidden(path, pattern) || err == nil && info.IsDir()
	}), nil
}

// isHidden reports whether a part of the path begins with a dot that the pattern does not
// have. Editors, file systems and Kubernetes name their own files so.
func isHidden(path, pattern string) bool {
	const separator = string(filepath.Separator)
	names, parts := strings.Split(path, separator), strings.Split(pattern, separator)
	for i, name := range names {
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(strings.TrimPrefix(parts[i], `\`), ".") {
			return true
		}
	}
	return false
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
// targets.
func (l *loader) loadTargetFile(f targetFile) {
	data, ok := l.readFile(f.at, f.path)
	if !ok {
		return
	}
	l.merges = 0 // the limit is per file
	root, ok := l.parse(f.path, data, targetsExample)
	switch {
	case !ok:
	case root.node.Kind == yaml.SequenceNode:
		l.decodeTargets(root)
	default:
		l.decodeMapping(root, field{key: "targets", example: targetsExample, required: true, decode: l.decodeTargets})
	}
}
