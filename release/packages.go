// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // registers the format
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // registers the format
)

// documentDir is the directory of the documents in packages.
const documentDir = "/usr/share/doc/portscan-exporter"

// writePackage builds a package from deploy/packages/nfpm.yaml and the documents.
func (r *release) writePackage(p platform, format, program string) error {
	config, err := nfpm.ParseFileWithEnvMapping(filepath.Join(r.root, "deploy", "packages", "nfpm.yaml"), func(name string) string {
		return map[string]string{"VERSION": r.version, "ARCH": p.processor + p.arm}[name]
	})
	if err != nil {
		return fmt.Errorf("reading nfpm.yaml: %w", err)
	}
	info, err := config.Get(format)
	if err != nil {
		return fmt.Errorf("reading nfpm.yaml: %w", err)
	}
	info = nfpm.WithDefaults(info)
	r.completeInfo(info, program)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return fmt.Errorf("reading package files: %w", err)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := packager.Package(info, &out); err != nil {
		return err
	}
	return r.writeFile(packager.ConventionalFileName(info), out.Bytes())
}

// completeInfo adds the documents, makes paths absolute, and sets the commit's date.
func (r *release) completeInfo(info *nfpm.Info, program string) {
	info.MTime = r.date
	info.RPM.BuildHost = "localhost" // the default is this machine's name
	for _, file := range r.documents {
		info.Contents = append(info.Contents, &files.Content{
			Source: file, Destination: documentDir + "/" + file, FileInfo: &files.ContentFileInfo{Mode: 0o644},
		})
	}
	for _, c := range info.Contents {
		switch {
		case c.Source == "portscan_exporter":
			c.Source = program
		case c.Source != "":
			c.Source = filepath.Join(r.root, c.Source)
		}
	}
	for _, script := range []*string{&info.Scripts.PostInstall, &info.Scripts.PreRemove, &info.Scripts.PostRemove} {
		*script = filepath.Join(r.root, *script)
	}
}
