package config

import (
	"sync"
	"sync/atomic"
	"time"
)

// SafeConfig holds the configuration in use. It may be used concurrently: whoever
// takes it with [SafeConfig.Get] keeps a whole one, however often it is reloaded
// meanwhile.
type SafeConfig struct {
	file   string
	check  func(*Config) error
	reload sync.Mutex // one reload at a time
	inUse  atomic.Pointer[Config]
}

// NewSafeConfig returns a holder for the configuration in file, which is read by
// the first [SafeConfig.Reload] and not before. check has the last word on each
// new configuration before it is used; it may be nil.
func NewSafeConfig(file string, check func(*Config) error) *SafeConfig {
	return &SafeConfig{file: file, check: check}
}

// Get returns the configuration in use, or nil where none was loaded yet.
func (s *SafeConfig) Get() *Config { return s.inUse.Load() }

// Reload reads the file, see [Load], and puts the new configuration in use. With
// an error the old one stays.
func (s *SafeConfig) Reload(now time.Time) (warnings []string, err error) {
	s.reload.Lock()
	defer s.reload.Unlock()
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
