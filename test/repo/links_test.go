// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package repo

import (
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestLinks checks that the relative links in documents and alert rules lead to files and
// headings that exist.
func TestLinks(t *testing.T) {
	t.Parallel()
	files := filesWith(t, ".md")
	links := 0
	for _, file := range files {
		text := prose(read(t, file))
		for _, m := range regexp.MustCompile(`\]\(([^()\s]+)\)`).FindAllStringSubmatch(text, -1) {
			links += follow(t, file, filepath.Dir(file), m[1])
		}
	}
	for _, file := range []string{"prometheus/alerts.yml", "prometheus/vantage.yml"} {
		for _, m := range regexp.MustCompile(`runbook: (\S+)`).FindAllStringSubmatch(read(t, file), -1) {
			links += follow(t, file, ".", m[1])
		}
	}
	if len(files) < 10 || links < 50 {
		t.Errorf("checked %d documents with %d links, want at least 10 with 50", len(files), links)
	}
}

// filesWith returns the project's files with the extensions, without test data.
func filesWith(t *testing.T, extensions ...string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && path != "." && (strings.HasPrefix(e.Name(), ".") || slices.Contains([]string{"dist", "testdata"}, e.Name())):
			return filepath.SkipDir
		case slices.Contains(extensions, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// prose returns a document without its code blocks.
func prose(text string) string {
	return regexp.MustCompile("(?ms)^```.*?^```$").ReplaceAllString(text, "")
}

// follow checks a link and returns 1, or 0 for a link to another site.
func follow(t *testing.T, file, dir, link string) int {
	t.Helper()
	u, err := url.Parse(link)
	if err != nil {
		t.Errorf("%s: link %q: %v", file, link, err)
		return 1
	}
	if u.Scheme != "" {
		return 0
	}
	path := file
	if u.Path != "" {
		path = filepath.Join(dir, u.Path)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("%s: link %q: %v", file, link, err)
		return 1
	}
	if u.Fragment != "" && !slices.Contains(anchors(read(t, path)), u.Fragment) {
		t.Errorf("%s: link %q: no such heading in %s", file, link, path)
	}
	return 1
}

// anchors returns the fragments that link to the headings of a document.
func anchors(text string) (all []string) {
	unwanted := regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
	seen := make(map[string]int)
	for _, m := range regexp.MustCompile(`(?m)^#{1,6} +(.+?)\s*$`).FindAllStringSubmatch(prose(text), -1) {
		name := strings.ReplaceAll(unwanted.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-")
		if n := seen[name]; n > 0 {
			all = append(all, name+"-"+strconv.Itoa(n))
		} else {
			all = append(all, name)
		}
		seen[name]++
	}
	return all
}
