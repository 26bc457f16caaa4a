package main

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // a format
	_ "github.com/goreleaser/nfpm/v2/rpm" // a format
)

// packageFor makes a package as deploy/packages/nfpm.yaml has it.
func (r *release) packageFor(p platform, format, program string) error {
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
	r.settle(info, program)
	if err := nfpm.PrepareForPackager(info, format); err != nil {
		return fmt.Errorf("reading the files: %w", err)
	}
	packager, err := nfpm.Get(format)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := packager.Package(info, &out); err != nil {
		return err
	}
	return r.write(packager.ConventionalFileName(info), out.Bytes())
}

// settle names the files where they are, and gives all of them the commit's date.
func (r *release) settle(info *nfpm.Info, program string) {
	info.MTime = r.date
	info.RPM.BuildHost = "localhost" // or this machine's name would be in it
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
