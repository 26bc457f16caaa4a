// Command release makes everything that a release consists of from the commit that is
// checked out: an archive and a bill of materials for each platform, packages for
// Linux, checksums, and notes. The same commit gives the same bytes.
//
// It is a module of its own, so that what it stands on is no part of the exporter.
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
	root := flag.String("root", "..", "The folder of the sources, a clone without changes.")
	dist := flag.String("dist", "", "The folder to write to, which must not exist. dist in the sources' if not given.")
	only := flag.String("platforms", "", "Build for these alone, such as linux/armv7,windows/amd64.")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *root, *dist, *only); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		stop()
		os.Exit(1) //nolint:forbidigo,gocritic // this is a program, and stop was called
	}
}

// release is what all parts of one have in common.
type release struct {
	root, dist string
	version    string
	date       time.Time // of the commit: every file has it
}

func run(ctx context.Context, root, dist, only string) error {
	targets, err := pick(only)
	if err != nil {
		return err
	}
	if root, err = filepath.Abs(root); err != nil {
		return fmt.Errorf("finding the sources: %w", err)
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
	if err := os.Mkdir(dist, 0o755); err != nil { //nolint:gosec // what is in it is for everybody
		return fmt.Errorf("making the folder to write to: %w", err)
	}
	for _, p := range targets {
		if err := r.platform(ctx, p); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
	}
	if err := r.write("release-notes.md", []byte(notes)); err != nil {
		return err
	}
	return r.checksums()
}

// prepare reads what the release is of, and returns its notes.
func (r *release) prepare(ctx context.Context) (notes string, err error) {
	changes, err := r.git(ctx, "status", "--porcelain")
	if err != nil {
		return "", err
	}
	if changes != "" {
		return "", fmt.Errorf("a release is made of a commit, and there are changes that are in none:\n%s", changes)
	}
	version, err := os.ReadFile(filepath.Join(r.root, "VERSION"))
	if err != nil {
		return "", fmt.Errorf("reading the version: %w", err)
	}
	r.version = strings.TrimSpace(string(version))
	date, err := r.git(ctx, "log", "-1", "--format=%cI")
	if err != nil {
		return "", err
	}
	if r.date, err = time.Parse(time.RFC3339, date); err != nil {
		return "", fmt.Errorf("reading the commit's date: %w", err)
	}
	r.date = r.date.UTC()
	tags, err := r.git(ctx, "tag", "--points-at=HEAD")
	if err != nil {
		return "", err
	}
	changelog, err := os.ReadFile(filepath.Join(r.root, "CHANGELOG.md"))
	if err != nil {
		return "", fmt.Errorf("reading the changelog: %w", err)
	}
	return notesOf(string(changelog), r.version, strings.Fields(tags))
}

// platform makes all files for one platform.
func (r *release) platform(ctx context.Context, p platform) (err error) {
	folder, err := os.MkdirTemp("", "portscan_exporter_release_")
	if err != nil {
		return fmt.Errorf("making a folder to build in: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	program := filepath.Join(folder, p.program())
	if err := r.build(ctx, p, program); err != nil {
		return err
	}
	if err := r.archive(p, program); err != nil {
		return fmt.Errorf("packing the archive: %w", err)
	}
	if err := r.bill(p, program); err != nil {
		return fmt.Errorf("writing the bill of materials: %w", err)
	}
	if p.system != "linux" {
		return nil
	}
	for _, format := range []string{"deb", "rpm"} {
		if err := r.packageFor(p, format, program); err != nil {
			return fmt.Errorf("making the .%s: %w", format, err)
		}
	}
	return nil
}

// write writes a file of the release.
func (r *release) write(name string, data []byte) error {
	if err := os.WriteFile(filepath.Join(r.dist, name), data, 0o644); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("writing %s: %w", name, err)
	}
	return nil
}
