package main

import (
	"archive/zip"
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestNotes(t *testing.T) {
	t.Parallel()
	const changelog = "# Changelog\n\n## [Unreleased]\n\nSoon.\n\n## [0.2.0] - 2027-01-31\n\n### Added\n\n- More.\n\n## [0.1.0] - 2026-12-01\n\nFirst.\n"
	for name, tc := range map[string]struct {
		version string
		tags    []string
		want    string
		err     string
	}{
		"released":         {"0.2.0", []string{"v0.2.0"}, "### Added\n\n- More.\n", ""},
		"the last section": {"0.1.0", nil, "First.\n", ""},
		"not yet released": {"0.3.0", []string{"else"}, "Soon.\n", ""},
		"forgotten":        {"0.3.0", []string{"v0.3.0"}, "", `no section "## [0.3.0]"`},
		"part of a number": {"0.1", []string{"v0.1"}, "", `no section "## [0.1]"`},
	} {
		got, err := notesOf(changelog, tc.version, tc.tags)
		if tc.err != "" {
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("%s: %v, want %q", name, err, tc.err)
			}
			continue
		}
		if err != nil || got != tc.want {
			t.Errorf("%s: %q, %v, want %q", name, got, err, tc.want)
		}
	}
	if _, err := notesOf("# Changelog\n\n## [Unreleased]\n\n## [0.1.0]\n", "0.2.0", nil); err == nil {
		t.Error("an empty section will do")
	}
}

func TestPick(t *testing.T) {
	t.Parallel()
	some, err := pick("linux/armv7,windows/amd64")
	if err != nil || len(some) != 2 || some[0].arm != "7" || some[1].program() != "portscan_exporter.exe" {
		t.Errorf("%v, %v", some, err)
	}
	if all, err := pick(""); err != nil || len(all) != len(platforms()) {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := pick("linux/arm"); err == nil || !strings.Contains(err.Error(), "linux/armv7") {
		t.Errorf("a platform that there is not: %v", err)
	}
}

// TestPackedTwice packs the same at two moments, in both forms.
func TestPackedTwice(t *testing.T) {
	t.Parallel()
	date := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	entries := []entry{{"x/program", 0o755, []byte("program")}, {"x/LICENSE", 0o644, bytes.Repeat([]byte("words "), 1000)}}
	for name, pack := range map[string]func([]entry, time.Time) ([]byte, error){"tar": tarball, "zip": zipped} {
		first, err := pack(entries, date)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
		second, err := pack(entries, date)
		if err != nil || !bytes.Equal(first, second) {
			t.Errorf("%s: the same files, packed twice, differ (%v)", name, err)
		}
		if other, err := pack(entries, date.Add(time.Hour)); err != nil || bytes.Equal(first, other) {
			t.Errorf("%s: the date is not in it (%v)", name, err)
		}
	}
	data, err := zipped(entries, date)
	if err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	if f := r.File[0]; f.Name != "x/program" || f.Mode().Perm() != 0o755 || !f.Modified.Equal(date) {
		t.Errorf("%+v", f.FileHeader)
	}
}
