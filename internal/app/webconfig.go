// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2" // exporter-toolkit decodes with this version
)

// readWebConfig reads the file of --web.config.file as exporter-toolkit does, with its
// types and its decoder. Without a file, there is neither TLS nor a user.
func readWebConfig(file string) (*web.Config, error) {
	if file == "" {
		return &web.Config{}, nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--web.config.file: %w", err)
	}
	c, err := decodeWebConfig(data)
	if err != nil {
		return nil, fmt.Errorf("--web.config.file=%s: %w", file, err)
	}
	c.TLSConfig.SetDirectory(filepath.Dir(file))
	return c, nil
}

func decodeWebConfig(data []byte) (*web.Config, error) {
	var c web.Config
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return nil, err
	}
	return &c, nil
}

// webUsers reports whether exporter-toolkit verifies passwords. It may be used
// concurrently.
type webUsers struct {
	file string // of --web.config.file; "": none

	mu   sync.Mutex
	data []byte // content that was decoded last
	set  bool   // it has users
}

// Required reports whether the file has users now. exporter-toolkit reads the file at each
// request; if it cannot, it refuses the request. The file is decoded only when it changes.
func (u *webUsers) Required() bool {
	if u.file == "" {
		return false
	}
	data, err := os.ReadFile(u.file)
	if err != nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.data == nil || !bytes.Equal(data, u.data) {
		c, err := decodeWebConfig(data)
		u.data, u.set = data, err == nil && len(c.Users) > 0
	}
	return u.set
}
