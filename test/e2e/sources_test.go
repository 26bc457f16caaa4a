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

// cloneSources copies the files that git tracks, or would, to a folder of its own, as they
// are now, and makes one commit of them there: a fresh clone of what is being tested.
// The same files give the same commit. change may alter them before.
func cloneSources(t *testing.T, change func(dir string)) (dir string) {
	t.Helper()
	git := needProgram(t, "git")
	if _, err := os.Stat(repository + "/.git"); err != nil {
		skip(t, "this is no clone, so git can't say what belongs to it")
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

// copyFile copies a file with its permissions; one that is gone is left out.
func copyFile(t *testing.T, from, to string) {
	t.Helper()
	info, err := os.Stat(from)
	if os.IsNotExist(err) {
		return // deleted, and git was not told yet
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

// runIn runs a program in a folder, which must succeed, and returns what it prints.
func runIn(t *testing.T, dir, path string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = dir
	return runCommand(t, cmd)
}

// runCommand runs a command, which must succeed, and returns what it prints.
func runCommand(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String()
}

// warmCache is a cache of Go's with all that `make build` compiles. A build takes two
// processors for a minute without it, and several tests build; what they link and pack
// is their own. It is kept from run to run, as Go keeps its own.
var warmCache = sync.OnceValues(func() (string, error) {
	user, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(user, "portscan_exporter_e2e")
	cmd := exec.Command("make", "--no-print-directory", "build", "OUTPUT="+filepath.Join(buildDir, "warm"))
	cmd.Dir, cmd.Env = repository, cacheEnv(dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return dir, nil
})

// buildCache returns that cache's folder.
func buildCache(t *testing.T) string {
	t.Helper()
	needProgram(t, "make")
	dir, err := warmCache()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cacheEnv is this program's environment for a build with that cache, and without what
// an outer make says of itself.
func cacheEnv(dir string) (env []string) {
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "MAKE") && !strings.HasPrefix(setting, "MFLAGS=") {
			env = append(env, setting)
		}
	}
	return append(env, "GOCACHE="+dir)
}
