// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"io/fs"
	"sync"
	"time"

	"portscan_exporter/internal/regularfile"
)

// loader loads one configuration and collects its errors and warnings.
type loader struct {
	problems
	portParser PortParser

	files  *readSession
	file   string // the configuration file
	now    time.Time
	cfg    *Config
	merges int // number of merges (<<) in the current file

	modulePos   map[*Module]value
	moduleNamed map[string]*Module
	invalid     map[*Module]bool // modules with an error
	used        map[*Module]bool // modules of some target
	targetPos   map[string]value // by name
	hostsFiles  map[string]*hostsFile
}

func newLoader(r *reader, file string, now time.Time) *loader {
	cfg := &Config{
		limits:         Limits{MaxScans: 64},
		externalLabels: make(map[string]string),
	}
	cfg.yaml = sync.OnceValues(cfg.encode)
	return &loader{
		portParser:  NewPortParser(),
		files:       r.newSession(),
		file:        file,
		now:         now,
		cfg:         cfg,
		modulePos:   make(map[*Module]value),
		moduleNamed: make(map[string]*Module),
		invalid:     make(map[*Module]bool),
		used:        make(map[*Module]bool),
		targetPos:   make(map[string]value),
		hostsFiles:  make(map[string]*hostsFile),
	}
}

// Load loads and checks a configuration file, its target files and their files of hosts. They must be
// regular files of at most 64 MiB that can be read within 10 seconds.
//
// The error joins all errors, each an [*Error], sorted by file and line. Warnings
// have the format of an error, one line each. Authorizations are checked for the
// time now.
func Load(file string, now time.Time) (cfg *Config, warnings []string, err error) {
	return newLoader(newReader(), file, now).loadFile()
}

func (l *loader) loadFile() (*Config, []string, error) {
	data, ok := l.readFile(value{file: l.file}, l.file)
	if !ok {
		return nil, l.warningLines(), l.err()
	}
	return l.load(data)
}

// readFile returns the content of a file. If it reports an error, at the value that
// names the file, it returns false.
func (l *loader) readFile(at value, path string) ([]byte, bool) {
	c, err := await(l.files, func() (content, error) { return l.files.read(path) })
	if err != nil {
		l.readError(at, path, err)
		return nil, false
	}
	if c.unlinked {
		l.warnf(value{file: path}, "file was replaced, but this process reads the old one: mount its directory, not the file")
	}
	return c.data, true
}

// readError reports that a file or directory cannot be read. After a read that did
// not finish, it does not report those that were not tried.
func (l *loader) readError(at value, path string, err error) {
	if errors.Is(err, errEnded) {
		return
	}
	name := path
	if path == at.file {
		name = "file"
	}
	msg := "cannot read " + name + ": " + err.Error()
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		msg = "cannot read " + name + ": " + pathErr.Err.Error()
	}
	if irregular, ok := errors.AsType[*regularfile.Error](err); ok {
		msg = name + " " + irregular.Problem
	}
	e := at.newError(msg)
	e.cause = err
	l.errs = append(l.errs, e)
}

// load loads the configuration from the contents of its file.
func (l *loader) load(data []byte) (*Config, []string, error) {
	root, ok := l.parse(l.file, data, modulesExample)
	if ok {
		l.decodeMapping(root,
			field{key: "modules", example: modulesExample, required: true, decode: l.decodeModules},
			field{key: "targets", example: targetsExample, decode: l.decodeTargets},
			field{key: "target_files", example: "target_files: [targets.d/*.yml]", decode: l.decodeTargetFiles},
			field{key: "external_labels", example: "external_labels: {vantage: dmz}", decode: l.labels(l.cfg.externalLabels)},
			field{key: "limits", example: "limits: {max_scans: 64}", decode: l.decodeLimits},
		)
		l.applyOtherExclusions()
		l.cfg.index = newTargetIndex(l.cfg.targets)
		l.makeTasks()
		l.warnUnused()
	}
	if err := l.err(); err != nil {
		return nil, l.warningLines(), err
	}
	return l.cfg, l.warningLines(), nil
}

// Examples of the contents of a file.
const (
	modulesExample = `modules: {tcp_default: {ports: "1-1024"}}`
	targetsExample = "targets: [] or a list of entries that start with - name: web"
)

func (l *loader) decodeLimits(v value) {
	limits := &l.cfg.limits
	l.decodeMapping(v,
		field{key: "max_in_flight", example: "max_in_flight: 0", decode: l.integer(&limits.MaxInFlight, 0)},
		field{key: "max_scans", example: "max_scans: 64", decode: l.integer(&limits.MaxScans, 1)},
		field{key: "rate", example: "rate: 0", decode: l.integer(&limits.Rate, 0)},
	)
}

// warnUnused warns about a configuration without targets and about unused modules.
func (l *loader) warnUnused() {
	if len(l.errs) > 0 {
		return // an invalid target may use the module
	}
	if len(l.cfg.targets) == 0 {
		l.warnf(value{file: l.file}, "no targets are configured: write at least one in targets")
		return
	}
	for _, m := range l.cfg.modules {
		if !l.used[m] {
			l.warnf(l.modulePos[m], "no target uses this module: write the name in the modules of a target, or remove the module")
		}
	}
}
