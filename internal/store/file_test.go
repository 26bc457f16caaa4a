// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeText(text string) func(*bufio.Writer) error {
	return func(w *bufio.Writer) error {
		_, err := w.WriteString(text)
		return err
	}
}

// directoryNames returns the names of the files in a directory.
func directoryNames(tb testing.TB, directory string) string {
	tb.Helper()
	entries, err := os.ReadDir(directory)
	if err != nil {
		tb.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

func TestReplaceFile(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	file := filepath.Join(directory, "state.json")
	if err := os.WriteFile(file, []byte("old"), 0o666); err != nil {
		t.Fatal(err)
	}
	failing := errors.New("no space left")
	err := replaceFile(file, func(w *bufio.Writer) error {
		_, err := w.WriteString("incomplete")
		return errors.Join(err, failing)
	})
	if data, _ := os.ReadFile(file); !errors.Is(err, failing) || string(data) != "old" {
		t.Errorf("replaceFile() = %v with content %q, want %v and the old content", err, data, failing)
	}
	if err := replaceFile(file, writeText("new")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if data, _ := os.ReadFile(file); string(data) != "new" || info.Mode().Perm()&0o077 != 0 && os.PathSeparator == '/' {
		t.Errorf("content %q, mode %v, want new for the owner only", data, info.Mode())
	}
	if got := directoryNames(t, directory); got != "state.json" {
		t.Errorf("files %s, want state.json only", got)
	}
}

func TestRemoveTemporary(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	for _, name := range []string{"state.json", "state.json.123.new", "state.json.unusable", "state.json.12x.new", "state.json.new", "other.json.123.new", "state.json..new"} {
		if err := os.WriteFile(filepath.Join(directory, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(directory, "state.json.7.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	removeTemporary(filepath.Join(directory, "state.json"))
	const want = "other.json.123.new state.json state.json..new state.json.12x.new state.json.7.new state.json.new state.json.unusable"
	if got := directoryNames(t, directory); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
}
