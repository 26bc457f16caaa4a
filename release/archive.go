// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// archiveFile is a file in an archive.
type archiveFile struct {
	name string
	mode int64
	data []byte
}

// listDocuments returns the files that all archives and packages contain besides the
// program: the documents and the files that they link to.
func (r *release) listDocuments(ctx context.Context) ([]string, error) {
	files, err := r.git(ctx, "ls-files", "--", ":(glob)*.md", "LICENSE", "config.yml",
		"docs", "prometheus", "grafana", "deploy", ":!deploy/packages", ":!*.go", ":!*go.mod", ":!*go.sum")
	if err != nil {
		return nil, err
	}
	return strings.Split(files, "\n"), nil
}

// writeArchive packs the program and the documents.
func (r *release) writeArchive(p platform, program string) error {
	name := r.platformName(p)
	data, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	files := []archiveFile{{name + "/" + p.program(), 0o755, data}}
	for _, file := range r.documents {
		if data, err = os.ReadFile(filepath.Join(r.root, file)); err != nil {
			return err
		}
		files = append(files, archiveFile{name + "/" + file, 0o644, data})
	}
	pack, suffix := packTar, ".tar.gz"
	if p.system == "windows" {
		pack, suffix = packZip, ".zip"
	}
	if data, err = pack(files, r.date); err != nil {
		return err
	}
	return r.writeFile(name+suffix, data)
}

// platformName returns the name of a platform's files without the suffix.
func (r *release) platformName(p platform) string {
	return fmt.Sprintf("portscan_exporter-%s.%s-%s", r.version, p.system, p.machine())
}

// packTar returns a compressed tar archive. The date is the only variable metadata.
func packTar(files []archiveFile, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for _, f := range files {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: date, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// packZip returns a zip archive.
func packZip(files []archiveFile, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, f := range files {
		header := &zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: date}
		header.SetMode(os.FileMode(f.mode)) //nolint:gosec // permission bits
		entry, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		if _, err := entry.Write(f.data); err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// writeChecksums writes a file for sha256sum --check.
func (r *release) writeChecksums() error {
	files, err := os.ReadDir(r.dist) // sorted
	if err != nil {
		return fmt.Errorf("reading output directory: %w", err)
	}
	var sums strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(r.dist, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return r.writeFile("sha256sums.txt", []byte(sums.String()))
}
