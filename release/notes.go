package main

import (
	"fmt"
	"slices"
	"strings"
)

// notesOf returns what the changelog says of the version. As long as the commit has not
// its tag, what is not released yet will do.
func notesOf(changelog, version string, tags []string) (string, error) {
	if notes, ok := section(changelog, version); ok {
		return notes, nil
	}
	if slices.Contains(tags, "v"+version) {
		return "", fmt.Errorf("the commit has the tag v%[1]s, and CHANGELOG.md no section \"## [%[1]s]\"", version)
	}
	if notes, ok := section(changelog, "Unreleased"); ok {
		return notes, nil
	}
	return "", fmt.Errorf("CHANGELOG.md has neither a section \"## [%s]\" nor \"## [Unreleased]\"", version)
}

// section returns the text under a heading such as "## [0.1.0] - 2027-01-31". An empty
// one does not count.
func section(changelog, name string) (text string, ok bool) {
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
