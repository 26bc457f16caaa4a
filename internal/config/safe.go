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
	check func(*Config) error
	inUse atomic.Pointer[Config]
}

// NewSafeConfig returns a SafeConfig for a file, which the first
// [SafeConfig.Reload] loads. check may reject a new configuration; it may be nil.
func NewSafeConfig(file string, check func(*Config) error) *SafeConfig {
	return &SafeConfig{file: file, check: check}
}

// Get returns the current configuration, or nil before the first reload.
func (s *SafeConfig) Get() *Config { return s.inUse.Load() }

// Reload loads the file, see [Load], and replaces the current configuration. After
// an error the current configuration stays in use. Callers serialize reloads.
func (s *SafeConfig) Reload(now time.Time) (warnings []string, err error) {
	c, warnings, err := Load(s.file, now)
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
