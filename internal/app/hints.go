// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net/netip"
	"time"

	"portscan_exporter/internal/config"
)

// Hints provides the shell with completions from the configuration. Its fields point to
// what has been parsed of the command line so far.
type Hints struct {
	ConfigFile *string
	Target     *string
}

// Targets returns the names of all targets, or none if the configuration is invalid.
func (h Hints) Targets() []string {
	cfg, _, err := config.Load(*h.ConfigFile, time.Now())
	if err != nil {
		return nil
	}
	return targetNames(cfg)
}

// Modules returns the modules of the target, or all modules if the target is not known.
func (h Hints) Modules() []string {
	cfg, _, err := config.Load(*h.ConfigFile, time.Now())
	if err != nil {
		return nil
	}
	if t, ok := cfg.Find(*h.Target); ok {
		return moduleNames(t.Modules)
	}
	return moduleNames(cfg.Modules())
}

func targetNames(cfg *config.Config) (names []string) {
	for _, t := range cfg.Targets() {
		names = append(names, t.Name)
	}
	return names
}

func moduleNames(modules []*config.Module) (names []string) {
	for _, m := range modules {
		names = append(names, m.Name)
	}
	return names
}

// suggestName adds to a refusal the name that was probably meant, if there is one.
func suggestName(cfg *config.Config, target, module string, refusal error) error {
	near, ok := "", false
	if t, found := cfg.Find(target); found {
		if _, listed := t.Module(module); !listed {
			near, ok = config.Nearest(module, moduleNames(t.Modules))
		}
	} else if _, err := netip.ParseAddr(target); err != nil {
		near, ok = config.Nearest(target, targetNames(cfg))
	}
	if !ok {
		return refusal
	}
	return fmt.Errorf("%w; did you mean %q?", refusal, near)
}
