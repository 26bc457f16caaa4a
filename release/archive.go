package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// entry is a file of an archive.
type entry struct {
	name string
	mode int64
	data []byte
}

// documents are what every archive has beside the program.
func documents() []string {
	return []string{
		"LICENSE", "README.md", "docs/configuration.md", "docs/metrics.md", "docs/troubleshooting.md", "docs/deployment.md", "docs/cli.md", "docs/scaling.md", "CHANGELOG.md", "config.yml",
	}
}

// archive packs the program and its documents.
func (r *release) archive(p platform, program string) error {
	name := r.name(p)
	var entries []entry
	for _, file := range append([]string{program}, documents()...) {
		e := entry{name: file, mode: 0o644}
		if file == program {
			e.name, e.mode = filepath.Base(program), 0o755
		} else {
			file = filepath.Join(r.root, file)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		e.name, e.data = name+"/"+e.name, data
		entries = append(entries, e)
	}
	pack, suffix := tarball, ".tar.gz"
	if p.system == "windows" {
		pack, suffix = zipped, ".zip"
	}
	data, err := pack(entries, r.date)
	if err != nil {
		return err
	}
	return r.write(name+suffix, data)
}

// name is what the files for a platform begin with.
func (r *release) name(p platform) string {
	return fmt.Sprintf("portscan_exporter-%s.%s-%s", r.version, p.system, p.machine())
}

// tarball packs the entries, of the date and of nobody.
func tarball(entries []entry, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	w := tar.NewWriter(compressed)
	for _, e := range entries {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: date, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		if _, err := w.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
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

// zipped packs the entries, of the date.
func zipped(entries []entry, date time.Time) ([]byte, error) {
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		header := &zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: date}
		header.SetMode(os.FileMode(e.mode)) //nolint:gosec // permissions
		f, err := w.CreateHeader(header)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
		if _, err := f.Write(e.data); err != nil {
			return nil, fmt.Errorf("%s: %w", e.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// checksums writes a file for sha256sum --check.
func (r *release) checksums() error {
	files, err := os.ReadDir(r.dist) // sorted
	if err != nil {
		return fmt.Errorf("reading what was made: %w", err)
	}
	var sums strings.Builder
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(r.dist, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return r.write("sha256sums.txt", []byte(sums.String()))
}
