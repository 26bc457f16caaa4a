// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Command generate writes the dashboards in grafana/dashboards. To run it, use
// make dashboards.
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
		os.Exit(2) //nolint:forbidigo // main package
	}
	if err := writeDashboards(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:forbidigo // main package
	}
}

// writeDashboards writes all dashboards to the folder.
func writeDashboards(folder string) error {
	files, err := renderDashboards()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil { //nolint:gosec // not secret
		return fmt.Errorf("creating the folder: %w", err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o644); err != nil { //nolint:gosec // not secret
			return fmt.Errorf("writing a dashboard: %w", err)
		}
	}
	return nil
}

// renderDashboards returns the contents of the files by name.
func renderDashboards() (map[string][]byte, error) {
	files := make(map[string][]byte)
	for _, build := range []func() (*dashboard, error){newFleetDashboard, newTargetDashboard} {
		d, err := build()
		if err != nil {
			return nil, err
		}
		text, err := encodeDashboard(d)
		if err != nil {
			return nil, err
		}
		files[d.UID+".json"] = text
	}
	return files, nil
}
