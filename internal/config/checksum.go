// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"time"

	"go.yaml.in/yaml/v4"
)

// Checksum returns the SHA-256, in hexadecimal, of the names and contents of the
// configuration file, all its target files and their files of hosts. It detects changes without
// loading the configuration. Of a file that is not valid YAML, it does not cover the files that
// this names. It returns an error if the configuration file cannot be read, or if a file
// system does not respond; another file that cannot be read is covered by its error.
func (s *SafeConfig) Checksum() (string, error) {
	l := newLoader(s.files, s.file, time.Time{})
	data, ok := l.readFile(value{file: l.file}, l.file)
	if !ok {
		return "", l.err()
	}
	sum := sha256.New()
	addFile(sum, l.file, data)
	hosts := l.listHostsFiles(l.file, data)
	for _, f := range l.listTargetFiles(data) {
		data, ok := l.addFile(sum, f)
		if ok {
			hosts = append(hosts, l.listHostsFiles(f.path, data)...)
		}
	}
	seen := make(map[string]bool)
	for _, f := range hosts {
		if !seen[f.path] {
			seen[f.path] = true
			l.addFile(sum, f)
		}
	}
	if l.files.ended {
		return "", l.err()
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// addFile adds a file to the checksum, or the error of reading it.
func (l *loader) addFile(sum hash.Hash, f targetFile) ([]byte, bool) {
	if l.files.ended {
		return nil, false
	}
	l.errs = nil // of the configuration, which is in the checksum
	data, ok := l.readFile(f.at, f.path)
	if !ok {
		data = []byte(l.err().Error())
	}
	addFile(sum, f.path, data)
	return data, ok
}

// addFile adds a file. The lengths make the encoding unambiguous.
func addFile(sum hash.Hash, name string, data []byte) {
	fmt.Fprintf(sum, "%d:%s%d:", len(name), name, len(data))
	sum.Write(data)
}

// listTargetFiles returns the target files of a configuration, which may have errors.
func (l *loader) listTargetFiles(data []byte) []targetFile {
	root, ok := l.parse(l.file, data, modulesExample)
	if !ok || root.node.Kind != yaml.MappingNode {
		return nil
	}
	patterns, ok := l.findChild(root, "target_files")
	if !ok {
		return nil
	}
	return l.findTargetFiles(patterns)
}
