package e2e

import (
	"bytes"
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

// TestRelease makes a release for one platform, twice, and installs what came out with
// the tools that it is for.
func TestRelease(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		skip(t, "packages are Linux's")
	}
	program := buildReleaseProgram(t)
	first, second := buildDist(t, program, cloneSources(t, nil)), buildDist(t, program, cloneSources(t, nil))
	compareDirs(t, first, second)
	checkDist(t, first)
	newer := buildDist(t, program, cloneSources(t, func(dir string) {
		replaceReadable(t, filepath.Join(dir, "VERSION"), "99.0.0\n")
		config, err := os.ReadFile(filepath.Join(dir, "config.yml"))
		if err != nil {
			t.Fatal(err)
		}
		replaceReadable(t, filepath.Join(dir, "config.yml"), "# newer\n"+string(config))
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

// buildReleaseProgram builds the program that makes releases.
func buildReleaseProgram(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "release")
	runIn(t, repository+"/release", needProgram(t, "go"), "build", "-o", path, ".")
	return path
}

// buildDist makes a release for this platform and returns the folder.
func buildDist(t *testing.T, program, tree string) string {
	t.Helper()
	dist := filepath.Join(t.TempDir(), "dist")
	cmd := exec.CommandContext(t.Context(), program, "-root="+tree, "-dist="+dist, "-platforms=linux/"+runtime.GOARCH)
	cmd.Env = cacheEnv(buildCache(t))
	runCommand(t, cmd)
	return dist
}

// compareDirs fails the test unless both have the same files.
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
		t.Fatalf("one has %q, the other %q", all, other)
	}
	for _, name := range all {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(filepath.Join(second, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("two builds of one commit differ in %s", name)
		}
	}
}

// findOne returns the only file of the folder that the pattern matches.
func findOne(t *testing.T, dir, pattern string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %q, %v", pattern, found, err)
	}
	return found[0]
}

// checkDist looks at the archive, the checksums, the bill of materials and the notes.
func checkDist(t *testing.T, dist string) {
	t.Helper()
	runIn(t, dist, needProgram(t, "sha256sum"), "--check", "--strict", "--quiet", "sha256sums.txt")
	sums, err := os.ReadFile(filepath.Join(dist, "sha256sums.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(sums, []byte("\n")); n != 5 {
		t.Errorf("checksums of %d files, want of an archive, a bill, two packages and the notes:\n%s", n, sums)
	}
	unpacked := t.TempDir()
	runIn(t, unpacked, needProgram(t, "tar"), "--extract", "--file="+findOne(t, dist, "*.tar.gz"))
	program := findOne(t, unpacked, "portscan_exporter-*/portscan_exporter")
	cmd := exec.CommandContext(t.Context(), program, "--config.check")
	cmd.Dir = filepath.Dir(program)
	runCommand(t, cmd)

	text, err := os.ReadFile(findOne(t, dist, "*.cdx.json"))
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("the bill of materials: %q, %v", bill.BOMFormat, err)
	}
	// What the program itself says it was made of.
	built := runIn(t, ".", needProgram(t, "go"), "version", "-m", program)
	for _, dep := range regexp.MustCompile(`(?m)^\tdep\t(\S+)\t(\S+)`).FindAllStringSubmatch(built, -1) {
		if !strings.Contains(string(text), `"pkg:golang/`+dep[1]+"@"+dep[2]) {
			t.Errorf("the bill of materials has no %s %s", dep[1], dep[2])
		}
	}
	notes, err := os.ReadFile(filepath.Join(dist, "release-notes.md"))
	if err != nil {
		t.Fatal(err)
	}
	changelog, err := os.ReadFile(repository + "/CHANGELOG.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(notes) < 100 || !bytes.Contains(changelog, notes) || bytes.Contains(notes, []byte("\n## ")) {
		t.Errorf("the notes are not a section of CHANGELOG.md:\n%s", notes)
	}
}
