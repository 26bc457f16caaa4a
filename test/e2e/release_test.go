// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// TestRelease builds a release twice, compares both and installs the packages.
func TestRelease(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		skip(t, "packages are built for Linux")
	}
	program := buildReleaseProgram(t)
	first, second := buildDist(t, program, cloneSources(t, nil)), buildDist(t, program, cloneSources(t, nil))
	compareDirs(t, first, second)
	checkDist(t, first)
	newer := buildDist(t, program, cloneSources(t, func(dir string) {
		replaceFileMode(t, filepath.Join(dir, "VERSION"), "99.0.0\n", 0o644)
		config := filepath.Join(dir, "config.yml")
		replaceFileMode(t, config, "# newer\n"+readFile(t, config), 0o644)
	}))
	t.Run("deb", func(t *testing.T) {
		t.Parallel()
		testDeb(t, first, newer)
	})
	t.Run("rpm", func(t *testing.T) {
		t.Parallel()
		testRPM(t, first, newer)
	})
}

// buildReleaseProgram builds the release program.
func buildReleaseProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release")
	runIn(t, repository+"/release", needProgram(t, "go"), "build", "-o", path, ".")
	return path
}

// buildDist builds a release for this platform and returns its directory.
func buildDist(t *testing.T, program, tree string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(t.Context(), program, "-root="+tree, "-dist="+dist, "-platforms=linux/"+runtime.GOARCH)
	cmd.Env = cacheEnv(buildCache(t))
	runCommand(t, cmd)
	return dist
}

// compareDirs fails the test unless both directories have the same files.
func compareDirs(t *testing.T, first, second string) {
	t.Helper()
	names := func(dir string) (all []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			all = append(all, e.Name())
		}
		return all
	}
	all := names(first)
	if other := names(second); !slices.Equal(all, other) {
		t.Fatalf("files = %q and %q, want the same", all, other)
	}
	for _, name := range all {
		if readFile(t, filepath.Join(first, name)) != readFile(t, filepath.Join(second, name)) {
			t.Errorf("two builds of one commit differ in %s", name)
		}
	}
}

// findOne returns the only file that matches the pattern.
func findOne(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return found[0]
}

// checkDist checks the archive, the checksums, the bill of materials and the release notes.
func checkDist(t *testing.T, dist string) {
	t.Helper()
	runIn(t, dist, needProgram(t, "sha256sum"), "--check", "--strict", "--quiet", "sha256sums.txt")
	sums := readFile(t, filepath.Join(dist, "sha256sums.txt"))
	if n := strings.Count(sums, "\n"); n != 5 {
		t.Errorf("got %d checksums, want 5: archive, bill of materials, two packages, notes:\n%s", n, sums)
	}
	unpacked := t.TempDir()
	runIn(t, unpacked, needProgram(t, "tar"), "--extract", "--file="+findOne(t, dist, "*.tar.gz"))
	program := findOne(t, unpacked, "portscan_exporter-*/portscan_exporter")
	cmd := exec.CommandContext(t.Context(), program, "--config.check")
	cmd.Dir = filepath.Dir(program)
	runCommand(t, cmd)

	text := readFile(t, findOne(t, dist, "*.cdx.json"))
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(text), &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("bill of materials: format = %q, %v, want CycloneDX", bill.BOMFormat, err)
	}
	// The binary lists its dependencies.
	built := runIn(t, ".", needProgram(t, "go"), "version", "-m", program)
	for _, dep := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(built, -1) {
		if !strings.Contains(text, `"pkg:golang/`+dep[1]+"@"+dep[2]) {
			t.Errorf("bill of materials lacks %s %s", dep[1], dep[2])
		}
	}
	notes := readFile(t, filepath.Join(dist, "release-notes.md"))
	if len(notes) < 100 || !strings.Contains(readFile(t, repository+"/CHANGELOG.md"), notes) || strings.Contains(notes, "\n## ") {
		t.Errorf("release notes are not a section of CHANGELOG.md:\n%s", notes)
	}
}
