// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFindNotes(t *testing.T) {
	t.Parallel()
	const changelog = "# Changelog\n\n## [Unreleased]\n\nSoon.\n\n## [0.2.0] - 2027-01-31\n\n- [FEATURE] More.\n\n## [0.1.0] - 2026-12-01\n\nFirst.\n"
	for name, tc := range map[string]struct {
		version string
		tags    []string
		want    string
		err     string
	}{
		"released":         {"0.2.0", []string{"v0.2.0"}, "- [FEATURE] More.\n", ""},
		"last section":     {"0.1.0", nil, "First.\n", ""},
		"not yet released": {"0.3.0", []string{"else"}, "Soon.\n", ""},
		"missing section":  {"0.3.0", []string{"v0.3.0"}, "", `no section "## [0.3.0]"`},
		"part of a number": {"0.1", []string{"v0.1"}, "", `no section "## [0.1]"`},
	} {
		got, err := findNotes(changelog, tc.version, tc.tags)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: findNotes: got error %v, want %q", name, err, tc.err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: findNotes: got %q, %v, want %q", name, got, err, tc.want)
		}
	}
	if got, err := findNotes("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n", "0.2.0", nil); err == nil {
		t.Errorf("findNotes of an empty section: got %q, want an error", got)
	}
}

func TestParsePlatforms(t *testing.T) {
	t.Parallel()
	some, err := parsePlatforms("linux/armv7,windows/amd64")
	if err != nil || len(some) != 2 || some[0].arm != "7" || some[1].program() != "portscan_exporter.exe" {
		t.Errorf("parsePlatforms of two: got %v, %v", some, err)
	}
	if all, err := parsePlatforms(""); err != nil || len(all) != len(allPlatforms()) {
		t.Errorf(`parsePlatforms(""): got %v, %v, want all`, all, err)
	}
	if got, err := parsePlatforms("linux/arm"); err == nil || !strings.Contains(err.Error(), "linux/armv7") {
		t.Errorf(`parsePlatforms("linux/arm"): got %v, %v, want an error that lists the platforms`, got, err)
	}
}

func TestPackReproducible(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	packed := []archiveFile{{"x/program", 0o755, []byte("program")}, {"x/LICENSE", 0o644, bytes.Repeat([]byte("words "), 1000)}}
	for name, pack := range map[string]func([]archiveFile, time.Time) ([]byte, error){"tar": packTar, "zip": packZip} {
		first, err := pack(packed, date)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		second, err := pack(packed, date)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: two archives of the same files differ (error %v)", name, err)
		}
		if other, err := pack(packed, date.Add(time.Hour)); err != nil || bytes.Equal(first, other) {
			t.Errorf("%s: archives with different dates are equal (error %v)", name, err)
		}
	}
	data, err := packZip(packed, date)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if f := r.File[0]; f.Name != "x/program" || f.Mode().Perm() != 0o755 || !f.Modified.Equal(date) {
		t.Errorf("packZip: got header %+v", f.FileHeader)
	}
}

// TestListDocumentsLinks follows every relative link within the packed files.
func TestListDocumentsLinks(t *testing.T) {
	t.Parallel()
	r := &release{root: ".."}
	packed, err := r.listDocuments(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	links := 0
	for _, file := range packed {
		if path.Ext(file) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(r.root, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^()\s:#]+)(?:#[^()\s]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			links++
			target := path.Join(path.Dir(file), m[1])
			if !slices.ContainsFunc(packed, func(name string) bool { return name == target || strings.HasPrefix(name, target+"/") }) {
				t.Errorf("%s links to %s, which is not packed", file, m[1])
			}
		}
	}
	if links < 50 {
		t.Errorf("got %d links in %d files, want at least 50", links, len(packed))
	}
}
