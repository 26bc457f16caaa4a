// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestReloaderWatch(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "config.yml")
	writeFile(t, file, goodText)
	safe := NewSafeConfig(file, nil)
	loaded, err := safe.Checksum()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var modules []string
	r := &Reloader{
		File: file, Config: safe, Logger: slog.New(slog.DiscardHandler),
		Observe: func(_ bool, names []string) { modules = names },
		Apply:   func(*Config) { cancel() },
	}
	writeFile(t, file, "modules: {fresh: {ports: 22}}\n")
	r.Watch(ctx, 10*time.Millisecond, loaded) // until the test's deadline
	if want := []string{"fresh"}; !slices.Equal(modules, want) || r.Config.Get() == nil {
		t.Errorf("got modules %v, want %v and a configuration", modules, want)
	}
}
