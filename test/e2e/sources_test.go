// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// cloneSources copies the files that git tracks or would track, and commits them in a new
// repository. The same files result in the same commit. change may modify the files before the
// commit.
func cloneSources(t *testing.T, change func(dir string)) (dir string) {
	t.Helper()
	git := needProgram(t, "git")
	if _, err := os.Stat(repository + "/.git"); err != nil {
		skip(t, "this is not a git repository")
	}
	list := runIn(t, repository, git, "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	dir = filepath.Join(t.TempDir(), "portscan_exporter")
	for name := range strings.SplitSeq(strings.TrimSuffix(list, "\x00"), "\x00") {
		copyFile(t, filepath.Join(repository, name), filepath.Join(dir, name))
	}
	if change != nil {
		change(dir)
	}
	commit := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), git, args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		runCommand(t, cmd)
	}
	commit("init", "--quiet")
	commit("add", "--all")
	commit("-c", "user.name=test", "-c", "user.email=test@example.org", "-c", "commit.gpgSign=false",
		"commit", "--quiet", "--message=everything")
	return dir
}

// copyFile copies a file with its permissions. A missing file is ignored.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if os.IsNotExist(err) {
		return // deleted, but still in the index
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, info.Mode().Perm()); err != nil {
		t.Fatal(err)
	}
}

// runIn runs a program in a directory, which must succeed, and returns its output.
func runIn(t *testing.T, dir, path string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	return runCommand(t, cmd)
}

// runCommand runs a command, which must succeed, and returns its output.
func runCommand(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// makeBuild runs `make build` once with a build cache of its own, because several tests build the
// exporter. Like Go's own cache it is kept after the tests.
var makeBuild = sync.OnceValues(func() (cache string, err error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "portscan_exporter_e2e")
	cmd := exec.Command("make", "--no-print-directory", "build", "OUTPUT="+filepath.Join(buildDir, plainName))
	cmd.Dir, cmd.Env = repository, cacheEnv(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return dir, nil
})

// buildCache returns the directory of the build cache.
func buildCache(t *testing.T) string {
	t.Helper()
	needProgram(t, "make")
	dir, err := makeBuild()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

const plainName = "portscan_exporter_plain"

// plainBinary returns the exporter as `make build` builds it. Tests that measure use it, because
// the race detector multiplies processor time and memory.
func plainBinary(t *testing.T) string {
	t.Helper()
	buildCache(t)
	return filepath.Join(buildDir, plainName)
}

// cacheEnv returns the environment for a build with the cache, without the variables of an outer
// make.
func cacheEnv(dir string) (env []string) {
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "MAKE") && !strings.HasPrefix(setting, "MFLAGS=") {
			env = append(env, setting)
		}
	}
	return append(env, "GOCACHE="+dir)
}
