// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// findNotes returns the changelog's section for the version. A commit without the
// version's tag may use the section Unreleased.
func findNotes(changelog, version string, tags []string) (string, error) {
	if notes, ok := findSection(changelog, version); ok {
		return notes, nil
	}
	if slices.Contains(tags, "v"+version) {
		return "", fmt.Errorf("CHANGELOG.md has no section \"## [%[1]s]\" for tag v%[1]s", version)
	}
	if notes, ok := findSection(changelog, "Unreleased"); ok {
		return notes, nil
	}
	return "", fmt.Errorf("CHANGELOG.md has neither a section \"## [%s]\" nor \"## [Unreleased]\"", version)
}

// findSection returns the text below a heading such as "## [0.1.0] - 2027-01-31", and
// whether it has any.
func findSection(changelog, name string) (text string, ok bool) {
	var lines []string
	inside := false
	for line := range strings.Lines(changelog) {
		if strings.HasPrefix(line, "## ") {
			inside = strings.HasPrefix(line, "## ["+name+"]")
			continue
		}
		if inside {
			lines = append(lines, line)
		}
	}
	text = strings.TrimSpace(strings.Join(lines, ""))
	return text + "\n", text != ""
}
