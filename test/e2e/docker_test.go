// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// containerEngine is a running container engine with its command-line client.
type containerEngine struct{ path string }

// newContainerEngine returns the engine, or skips the test if none responds. Tests remove their
// objects by the identifier that the engine assigned.
func newContainerEngine(t *testing.T) containerEngine {
	t.Helper()
	if runtime.GOOS != "linux" {
		skip(t, "containers' addresses are reachable only on Linux")
	}
	e := containerEngine{needProgram(t, "docker")}
	if out, err := exec.Command(e.path, "info").CombinedOutput(); err != nil {
		skip(t, fmt.Sprintf("container engine does not respond: %v: %s", err, out))
	}
	return e
}

// run runs a command of the client, which must succeed, and returns its output.
func (e containerEngine) run(t *testing.T, args ...string) string {
	t.Helper()
	return strings.TrimSpace(runIn(t, ".", e.path, args...))
}

// runAtCleanup runs a command of the client when the test ends.
func (e containerEngine) runAtCleanup(t *testing.T, args ...string) {
	t.Helper()
	t.Cleanup(func() {
		if out, err := exec.Command(e.path, args...).CombinedOutput(); err != nil {
			t.Errorf("docker %v: %v\n%s", args, err, out)
		}
	})
}

// inspect decodes the description of one object.
func (e containerEngine) inspect(t *testing.T, id string, into any) {
	t.Helper()
	var all []json.RawMessage
	if err := json.Unmarshal([]byte(e.run(t, "inspect", id)), &all); err != nil || len(all) != 1 {
		t.Fatalf("docker inspect %s: got %d objects, want 1: %v", id, len(all), err)
	}
	if err := json.Unmarshal(all[0], into); err != nil {
		t.Fatal(err)
	}
}

// buildImage builds the image from the Dockerfile and returns its identifier.
func (e containerEngine) buildImage(t *testing.T) (image string) {
	t.Helper()
	tree := cloneSources(t, nil)
	offline := e.provideBaseImage(t, tree)
	file := filepath.Join(t.TempDir(), "image")
	args := []string{"build", "--force-rm", "--iidfile=" + file, "."}
	if offline {
		args = slices.Insert(args, 1, "--network=none")
	}
	log := runIn(t, tree, e.path, args...)
	image = readFile(t, file)
	t.Cleanup(func() {
		// The classic builder keeps an image for each step. Remove them in reverse order, except
		// the first one: the base image, perhaps that of another run of the test.
		steps := regexp.MustCompile(`(?m)^ ---> ([0-9a-f]{12,})$`).FindAllStringSubmatch(log, -1)
		for i, step := range slices.Backward(steps) {
			if i > 0 && step[1] != steps[0][1] {
				_ = exec.Command(e.path, "rmi", step[1]).Run()
			}
		}
	})
	e.runAtCleanup(t, "rmi", "--force", image)
	return image
}

// provideBaseImage reports whether the build is offline: unless the engine has the base image of the
// Dockerfile's build stage, a replacement is made from this machine's programs.
func (e containerEngine) provideBaseImage(t *testing.T, tree string) (offline bool) {
	t.Helper()
	const ours = "portscan_exporter.test"
	name := regexp.MustCompile(`(?m)^FROM \S+ (golang:\S+) AS build$`).FindStringSubmatch(readFile(t, filepath.Join(tree, "Dockerfile")))
	if name == nil {
		t.Fatal("Dockerfile has no build stage from a golang image")
	}
	label := `{{index .Config.Labels "` + ours + `"}}`
	if out, err := exec.Command(e.path, "image", "inspect", "--format="+label, name[1]).Output(); err == nil && strings.TrimSpace(string(out)) == "" {
		return false // not a replacement left over from an interrupted run
	}
	e.importBaseImage(t, name[1], ours)
	return true
}

// importBaseImage makes a replacement for the golang image: a shell, make, git, Go, the certificate
// authorities, and also the modules and the build cache, because the build has no network.
func (e containerEngine) importBaseImage(t *testing.T, name, label string) {
	t.Helper()
	root := strings.TrimSpace(runIn(t, repository, needProgram(t, "go"), "env", "GOROOT"))
	parts := map[string]string{downloadModules(t): "/go/pkg/mod/cache/download", buildCache(t): "/root/.cache/go-build"}
	for _, part := range []string{"bin", "pkg/include", "pkg/tool", "src", "lib", "VERSION", "go.env"} {
		parts[filepath.Join(root, part)] = filepath.Join("/usr/local/go", part)
	}
	var changes []string
	for _, change := range []string{
		"ENV PATH=/usr/local/go/bin:/usr/bin:/bin", "ENV GOPATH=/go", "ENV GOTOOLCHAIN=local", "ENV GOPROXY=off",
		"ENV HOME=/root", "LABEL " + label + "=yes",
	} {
		changes = append(changes, "--change", change)
	}
	cmd := exec.CommandContext(t.Context(), e.path, append(append([]string{"import"}, changes...), "-", name)...)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := tarArchive{tar.NewWriter(in), map[string]bool{}}
	err = a.addAll(t, parts)
	_ = in.Close()
	if failure := cmd.Wait(); failure != nil || err != nil {
		t.Fatalf("docker import: %v, %v\n%s", failure, err, stderr.String())
	}
	e.runAtCleanup(t, "rmi", strings.TrimSpace(out.String()))
}

// downloadModules returns a module proxy directory with the modules of a build.
func downloadModules(t *testing.T) string {
	t.Helper()
	path := needProgram(t, "go")
	known := strings.TrimSpace(runIn(t, repository, path, "env", "GOMODCACHE"))
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), path, "mod", "download")
	cmd.Dir = repository
	cmd.Env = append(os.Environ(), "GOMODCACHE="+dir, "GOFLAGS=-modcacherw", "GOSUMDB=off",
		"GOPROXY=file://"+known+"/cache/download,"+strings.TrimSpace(runIn(t, repository, path, "env", "GOPROXY")))
	runCommand(t, cmd)
	return filepath.Join(dir, "cache", "download")
}

// tarArchive is a tar file under construction, with the names that it contains.
type tarArchive struct {
	w     *tar.Writer
	names map[string]bool
}

func (ta tarArchive) addAll(t *testing.T, parts map[string]string) error {
	t.Helper()
	for _, name := range []string{"sh", "bash", "make", "git", "cat", "install"} {
		if err := ta.addProgram(t, needProgram(t, name)); err != nil {
			return err
		}
	}
	authorities := "/etc/ssl/certs/ca-certificates.crt"
	if err := ta.addFile(authorities, authorities); err != nil {
		return err
	}
	if err := ta.w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}); err != nil {
		return err
	}
	for from, to := range parts {
		if err := ta.addTree(from, to); err != nil {
			return err
		}
	}
	return ta.w.Close()
}

// addProgram adds a program and its shared libraries.
func (ta tarArchive) addProgram(t *testing.T, path string) error {
	t.Helper()
	if err := ta.addFile(path, filepath.Join("/usr/bin", filepath.Base(path))); err != nil {
		return err
	}
	if err := ta.addFile(path, filepath.Join("/bin", filepath.Base(path))); err != nil {
		return err
	}
	libraries := runIn(t, ".", needProgram(t, "ldd"), path)
	for _, name := range regexp.MustCompile(`/\S+`).FindAllString(libraries, -1) {
		if err := ta.addFile(name, name); err != nil {
			return err
		}
	}
	return nil
}

// addTree adds a file, or a directory without tests and Go's own commands. Fewer files make the
// engine faster, because it compares all of them after each step.
func (ta tarArchive) addTree(from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || path == filepath.Join(from, "cmd")):
			return fs.SkipDir
		case d.IsDir() || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		return ta.addFile(path, filepath.Join(to, strings.TrimPrefix(path, from)))
	})
}

// addFile adds a file once. It follows symbolic links.
func (ta tarArchive) addFile(from, to string) error {
	if ta.names[to] {
		return nil
	}
	ta.names[to] = true
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: strings.TrimPrefix(to, "/"), Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := ta.w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(ta.w, f)
	return err
}
