// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"sync/atomic"
	"time"
)

// SafeConfig holds the current configuration. It is safe for concurrent use: a
// configuration returned by [SafeConfig.Get] does not change on a reload.
type SafeConfig struct {
	file  string
	files *reader
	check func(*Config) error
	inUse atomic.Pointer[Config]
}

// NewSafeConfig returns a SafeConfig for a file, which the first
// [SafeConfig.Reload] loads. check may reject a new configuration; it may be nil.
func NewSafeConfig(file string, check func(*Config) error) *SafeConfig {
	return &SafeConfig{file: file, files: newReader(), check: check}
}

// Get returns the current configuration, or nil before the first reload.
func (s *SafeConfig) Get() *Config { return s.inUse.Load() }

// Reload loads the file, see [Load], and replaces the current configuration. After
// an error the current configuration stays in use. Callers serialize reloads. A file
// whose file system does not respond is an error after 10 seconds, and further reloads
// fail at once until it does.
func (s *SafeConfig) Reload(now time.Time) (warnings []string, err error) {
	c, warnings, err := newLoader(s.files, s.file, now).loadFile()
	if err != nil {
		return warnings, err
	}
	if s.check != nil {
		if err := s.check(c); err != nil {
			return warnings, err
		}
	}
	s.inUse.Store(c)
	return warnings, nil
}

// Close ends reloads that wait for a file, with an error, and makes later ones fail.
func (s *SafeConfig) Close() { s.files.stop() }
