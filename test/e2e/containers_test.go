// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path"
	"testing"
	"time"
)

// layerFile is a file in a layer of an image.
type layerFile struct {
	header *tar.Header
	data   []byte
}

// imageFiles returns the files of an image.
func (e containerEngine) imageFiles(t *testing.T, image string) map[string]layerFile {
	t.Helper()
	saved := readTar(t, []byte(runIn(t, ".", e.path, "save", image)))
	var manifest []struct{ Layers []string }
	if err := json.Unmarshal(saved["manifest.json"].data, &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("docker save: got %d manifests, want 1: %v", len(manifest), err)
	}
	files := make(map[string]layerFile)
	for _, layer := range manifest[0].Layers {
		maps.Copy(files, readTar(t, saved[layer].data))
	}
	return files
}

// readTar returns the files of a tar archive, without directories.
func readTar(t *testing.T, data []byte) map[string]layerFile {
	t.Helper()
	files := make(map[string]layerFile)
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if header.FileInfo().Mode().IsDir() {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[path.Clean(header.Name)] = layerFile{header, content}
	}
}

// checkStatic fails the test if the binary needs a dynamic loader.
func checkStatic(t *testing.T, program []byte) {
	t.Helper()
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("binary is dynamically linked")
		}
	}
}

// container is a container started by a test.
type container struct {
	containerEngine

	id string
}

// startContainer starts a container that is removed when the test ends. The arguments are options,
// the image and the command.
func (e containerEngine) startContainer(t *testing.T, args ...string) container {
	t.Helper()
	c := container{e, e.run(t, append([]string{"run", "--detach"}, args...)...)}
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command(e.path, "logs", c.id).CombinedOutput()
			t.Logf("container %s:\n%s", c.id[:12], out)
		}
	})
	e.runAtCleanup(t, "rm", "--force", "--volumes", c.id)
	return c
}

// address returns the address of the container in its only network.
func (c container) address(t *testing.T) string {
	t.Helper()
	return c.run(t, "inspect", "--format={{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", c.id)
}

// createNetwork creates an isolated network and returns its identifier and prefix.
func (e containerEngine) createNetwork(t *testing.T) (id, prefix string) {
	t.Helper()
	id = e.run(t, "network", "create", "--internal", fmt.Sprintf("portscan_exporter_test_%d", time.Now().UnixNano()))
	e.runAtCleanup(t, "network", "rm", id)
	return id, e.run(t, "network", "inspect", "--format={{(index .IPAM.Config 0).Subnet}}", id)
}
