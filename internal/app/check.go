// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/printable"
)

// checkConfig prints every error and warning of the configuration, for --config.check.
// A lack of privileges on this host is only a warning.
func checkConfig(file string, stdout, stderr io.Writer) int {
	cfg, warnings, err := config.Load(file, time.Now())
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	if err != nil {
		for _, e := range config.SplitErrors(err) {
			fmt.Fprintf(stderr, "error: %v\n", e)
		}
		return ExitFailure
	}
	for _, warning := range append(config.CheckHost(cfg, engine.CheckSYN), config.OwnHosts(cfg)...) {
		fmt.Fprintf(stderr, "warning: %v\n", warning)
	}
	fmt.Fprintf(stdout, "%s is valid: %d targets, %d modules\n", printable.Escape(file), len(cfg.Targets()), len(cfg.Modules()))
	return ExitOK
}

// checkHost rejects a configuration that this host cannot carry out.
func checkHost(c *config.Config) error {
	return errors.Join(config.CheckHost(c, engine.CheckSYN)...)
}

// warnOwnHosts logs warnings about addresses of this machine in hosts.
func warnOwnHosts(c *config.Config, logger *slog.Logger) {
	for _, warning := range config.OwnHosts(c) {
		logger.Warn("Configuration warning", "warning", warning)
	}
}
