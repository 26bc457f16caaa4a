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

// targetFiles reads the files that the globs name, each once.
func (l *loader) decodeTargetFiles(v value) {
	var read []string
	items, patterns := l.scalars(v)
	for i, pattern := range patterns {
		for _, file := range l.matchFiles(items[i], pattern) {
			if slices.Contains(read, file) { // two globs may name it
				continue
			}
			read = append(read, file)
			l.loadTargetFile(items[i], file)
		}
	}
}

const globMeta = `\*?[`

// match returns the files that a pattern names, relative to the folder of the
// configuration file. A name that is no pattern is returned whether or not there
// is such a file.
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
		l.errorf(at, "%s is not a valid pattern because a [ or \\ is unterminated: write a pattern such as targets.d/*.yml", quote(pattern))
	}
	return files
}

// escapeGlob keeps a folder whose name looks like a pattern from being one.
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

// targetFile reads the targets of one file: under the key "targets", or a bare
// list. named is the entry of target_files that led to it.
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
	l.merges = 0 // the limit is one of each file
	root, ok := l.parse(file, data, targetsExample)
	switch {
	case !ok:
	case root.node.Kind == yaml.SequenceNode:
		l.decodeTargets(root)
	default:
		l.decodeMapping(root, field{key: "targets", example: targetsExample, required: true, decode: l.decodeTargets})
	}
}

// Checksum returns the SHA-256, in hexadecimal, over the names and contents of
// the configuration file and of every target file that it names, so that a
// change can be seen without loading anything. Where the file is not YAML it
// covers that file alone. The error says that the configuration file can't be
// read; a target file that can't be read counts as one without contents.
func Checksum(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", readError(value{file: file}, err)
	}
	sum := sha256.New()
	add := func(name string, data []byte) {
		head := fmt.Sprintf("%d:%s%d:", len(name), name, len(data)) // lengths: no content can pass for a name
		sum.Write([]byte(head))
		sum.Write(data)
	}
	add(file, data)
	for _, name := range targetFileNames(file, data) {
		add(name, readContents(name))
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// contents returns what a target file holds, or why it can't be decode: it counts
// when the file comes, or can be read again.
func readContents(name string) []byte {
	data, err := os.ReadFile(name)
	if err != nil {
		return []byte(err.Error())
	}
	return data
}

// targetFileNames returns the target files that a configuration names, whatever else
// may be wrong with it.
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
