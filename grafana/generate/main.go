// Generate writes the dashboards, the JSON files in grafana/dashboards, from what
// is in this folder. `make dashboards` runs it.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run . ../dashboards

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: generate FOLDER")
		os.Exit(2) //nolint:forbidigo // this is a main package, too
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:forbidigo // this is a main package, too
	}
}

// write writes every dashboard into the folder.
func write(folder string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // it is for everybody to read
		return fmt.Errorf("making the folder: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil { //nolint:gosec // it is for everybody to read
			return fmt.Errorf("writing a dashboard: %w", err)
		}
	}
	return nil
}

// generate returns the files by their names.
func generate() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, build := range []func() (*dashboard, error){fleet, single} {
		d, err := build()
		if err != nil {
			return nil, err
		}
		text, err := encode(d)
		if err != nil {
			return nil, err
		}
		files[d.UID+".json"] = text
	}
	return files, nil
}
