// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"path/filepath"
	"sync"
	"testing"
)

const goodText = "modules: {tcp: {ports: 22}}\n"

func TestReload(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText)
	s := NewSafeConfig(file, nil)
	if s.Get() != nil {
		t.Error("Get before the first reload != nil")
	}
	warnings, err := s.Reload(testTime())
	if err != nil || len(warnings) != 1 {
		t.Fatalf("Reload = %q, %v, want one warning", warnings, err)
	}
	first := s.Get()
	writeFile(t, file, "modules: {tcp: {port: 22}}\n")
	if _, err := s.Reload(testTime()); err == nil || s.Get() != first {
		t.Errorf("Reload of an invalid file = %v, replaced = %v, want an error and false", err, s.Get() != first)
	}
	writeFile(t, file, goodText)
	if _, err := s.Reload(testTime()); err != nil || s.Get() == first {
		t.Errorf("Reload of a valid file = %v, replaced = %v, want no error and true", err, s.Get() != first)
	}
}

func TestReloadRejected(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText)
	rejected := errors.New("rejected")
	s := NewSafeConfig(file, func(c *Config) error {
		if _, ok := c.Module("tcp"); !ok {
			return rejected
		}
		return nil
	})
	if _, err := s.Reload(testTime()); err != nil {
		t.Fatal(err)
	}
	first := s.Get()
	writeFile(t, file, "modules: {other: {ports: 22}}\n")
	if _, err := s.Reload(testTime()); !errors.Is(err, rejected) || s.Get() != first {
		t.Errorf("Reload = %v, replaced = %v, want %v and false", err, s.Get() != first, rejected)
	}
}

func TestReloadConcurrent(t *testing.T) {
	s := NewSafeConfig("testdata/good/full.yml", nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := s.Reload(testTime()); err != nil {
				t.Error(err)
			}
			if _, ok := s.Get().Find("192.0.2.1"); !ok {
				t.Error("Find did not find the address")
			}
		})
	}
	wg.Wait()
}
