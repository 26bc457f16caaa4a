// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Command release builds a release from the current commit: an archive and a bill of
// materials for each platform, packages for Linux, checksums, and release notes. The
// output is reproducible.
//
// It is a separate module, so the exporter does not depend on its libraries.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	root := flag.String("root", "..", "Source directory, a clone without uncommitted changes.")
	dist := flag.String("dist", "", "Output directory, which must not exist. Default: dist in the source directory.")
	only := flag.String("platforms", "", "Platforms to build, for example linux/armv7,windows/amd64. Default: all.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *dist, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1) //nolint:forbidigo,gocritic // main exits, and stop was called
	}
}

// release holds the inputs that all files of a release share.
type release struct {
	root, dist string
	version    string
	date       time.Time // of the commit, and of every file
	documents  []string  // paths below root
}

func run(ctx context.Context, root, dist, only string) error {
	platforms, err := parsePlatforms(only)
	if err != nil {
		return err
	}
	if root, err = filepath.Abs(root); err != nil {
		return fmt.Errorf("finding source directory: %w", err)
	}
	if dist == "" {
		dist = filepath.Join(root, "dist")
	}
	if dist, err = filepath.Abs(dist); err != nil {
		return fmt.Errorf("finding %s: %w", dist, err)
	}
	r := &release{root: root, dist: dist}
	notes, err := r.prepare(ctx)
	if err != nil {
		return err
	}
	if err := os.Mkdir(dist, 0o755); err != nil { //nolint:gosec // world-readable
		return fmt.Errorf("creating output directory: %w", err)
	}
	for _, p := range platforms {
		if err := r.writePlatform(ctx, p); err != nil {
			return fmt.Errorf("building for %s: %w", p, err)
		}
	}
	if err := r.writeFile("release-notes.md", []byte(notes)); err != nil {
		return err
	}
	return r.writeChecksums()
}

// prepare reads version, date and documents, and returns the release notes.
func (r *release) prepare(ctx context.Context) (notes string, err error) {
	changes, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changes != "" {
		return "", fmt.Errorf("source directory has uncommitted changes:\n%s", changes)
	}
	version, err := os.ReadFile(filepath.Join(r.root, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("reading version: %w", err)
	}
	r.version = strings.TrimSpace(string(version))
	date, err := r.git(ctx, "log", "-1", "--format=%cI")
	if err != nil {
		return "", err
	}
	if r.date, err = time.Parse(time.RFC3339, date); err != nil {
		return "", fmt.Errorf("parsing commit date: %w", err)
	}
	r.date = r.date.UTC()
	if r.documents, err = r.listDocuments(ctx); err != nil {
		return "", err
	}
	tags, err := r.git(ctx, "tag", "--points-at=HEAD")
	if err != nil {
		return "", err
	}
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return "", fmt.Errorf("reading changelog: %w", err)
	}
	return findNotes(string(changelog), r.version, strings.Fields(tags))
}

// writePlatform builds all files for one platform.
func (r *release) writePlatform(ctx context.Context, p platform) (err error) {
	dir, err := os.MkdirTemp("", "portscan_exporter_release_")
	if err != nil {
		return fmt.Errorf("creating build directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	program := filepath.Join(dir, p.program())
	if err := r.buildProgram(ctx, p, program); err != nil {
		return err
	}
	if err := r.writeArchive(p, program); err != nil {
		return fmt.Errorf("writing archive: %w", err)
	}
	if err := r.writeSBOM(p, program); err != nil {
		return fmt.Errorf("writing bill of materials: %w", err)
	}
	if p.system != "linux" {
		return nil
	}
	for _, format := range []string{"deb", "rpm"} {
		if err := r.writePackage(p, format, program); err != nil {
			return fmt.Errorf("building .%s package: %w", format, err)
		}
	}
	return nil
}

// writeFile writes a file of the release.
func (r *release) writeFile(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(r.dist, name), data, 0o644); err != nil { //nolint:gosec // world-readable
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
