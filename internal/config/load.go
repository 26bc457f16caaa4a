package config

import (
	"errors"
	"io/fs"
	"os"
	"sync"
	"time"
)

// loader reads one configuration, and keeps what is wrong with it.
type loader struct {
	problems
	file   string // the configuration file
	now    time.Time
	cfg    *Config
	merges int // how many merges (<<) were done

	modulePos map[*Module]value
	invalid   map[*Module]bool // has an error of its own
	used      map[*Module]bool // some target lists it
	targetPos map[string]value // of the targets
}

func newLoader(file string, now time.Time) *loader {
	cfg := &Config{
		limits:         Limits{MaxScans: 64},
		externalLabels: make(map[string]string),
	}
	cfg.yaml = sync.OnceValues(cfg.encode)
	return &loader{
		file:      file,
		now:       now,
		cfg:       cfg,
		modulePos: make(map[*Module]value),
		invalid:   make(map[*Module]bool),
		used:      make(map[*Module]bool),
		targetPos: make(map[string]value),
	}
}

// Load reads a configuration file and its target files, and checks all of it.
//
// The error joins every [*Error] that was found, sorted by file and line. What
// works but deserves a word is in warnings, one line each and in the form of an
// error. now is the time at which authorizations are judged.
func Load(file string, now time.Time) (cfg *Config, warnings []string, err error) {
	l := newLoader(file, now)
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, readError(value{file: file}, err)
	}
	return l.load(data)
}

// readError says why a file can't be read, in the form of the other errors.
func readError(at value, err error) *Error {
	cause := err
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		cause = pathErr.Err
	}
	e := at.newError("cannot read file: " + cause.Error())
	e.cause = err
	return e
}

// load reads the configuration from the bytes of its file.
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
		l.warnUnused()
	}
	if err := l.err(); err != nil {
		return nil, l.warningLines(), err
	}
	return l.cfg, l.warningLines(), nil
}

// How to write what a file consists of.
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

// warnUnused warns of what is configured and not used.
func (l *loader) warnUnused() {
	if len(l.errs) > 0 {
		return // a broken target may be the one that uses a module
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
