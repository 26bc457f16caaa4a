// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"
)

// Reloader reloads the configuration on request or when its files change. It may
// be used concurrently.
type Reloader struct {
	File    string
	Config  *SafeConfig
	Logger  *slog.Logger
	Observe func(success bool, modules []string) // called with each result; modules is nil after a failure
	Apply   func(*Config)                        // called with each new configuration

	mu sync.Mutex // configuration, metrics and limits are those of the same reload
}

// Reload loads the configuration file. If it is invalid, its errors are logged,
// one per line, and returned, and the current configuration stays in use.
// [SafeConfig.Close] ends it if a file system does not respond.
func (r *Reloader) Reload() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	warnings, err := r.Config.Reload(time.Now())
	for _, warning := range warnings {
		r.Logger.Warn("Configuration warning", "warning", warning)
	}
	if err != nil {
		for _, e := range SplitErrors(err) {
			r.Logger.Error("Failed to load configuration", "err", e)
		}
		r.Observe(false, nil)
		return err
	}
	cfg := r.Config.Get()
	names := cfg.moduleNames()
	r.Observe(true, names)
	r.Apply(cfg)
	r.Logger.Info("Configuration loaded", "file", r.File, "targets", len(cfg.Targets()), "modules", len(names))
	return nil
}

// Watch checks the configuration files for changes at an interval, and reloads
// them, until ctx is done. loaded is the checksum of the current files.
func (r *Reloader) Watch(ctx context.Context, interval time.Duration, loaded string) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		sum, err := r.Config.Checksum()
		if err != nil {
			r.Logger.Warn("Failed to read configuration files", "err", err)
			continue
		}
		if sum != loaded {
			loaded = sum   // an invalid file is not loaded again until it changes
			_ = r.Reload() // logs its errors
		}
	}
}

// SplitErrors returns the errors that err joins, or err itself.
func SplitErrors(err error) []error {
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) {
		return joined.Unwrap()
	}
	return []error{err}
}
