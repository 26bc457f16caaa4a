// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"bytes"
	"fmt"
	"path/filepath"
	"sync"

	"github.com/prometheus/exporter-toolkit/web"
	"go.yaml.in/yaml/v2" // exporter-toolkit decodes with this version

	"portscan_exporter/internal/regularfile"
)

// Sizes of files in bytes.
const (
	maxWebConfig   = 64 << 20
	maxCertificate = 4 << 20 // in PEM format, or a key
)

// readWebConfig reads the file of --web.config.file as exporter-toolkit does, with its
// types and its decoder. Without a file, there is neither TLS nor a user.
func readWebConfig(file string) (*web.Config, error) {
	if file == "" {
		return &web.Config{}, nil
	}
	data, err := regularfile.Read(file, maxWebConfig)
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

// checkWebConfig returns an error if exporter-toolkit can hang on the web configuration or a file
// that it names: exporter-toolkit does not check that they are regular files.
func checkWebConfig(file string) error {
	c, err := readWebConfig(file)
	if err != nil {
		return err
	}
	for _, f := range []struct{ key, path string }{
		{"cert_file", c.TLSConfig.TLSCertPath},
		{"key_file", c.TLSConfig.TLSKeyPath},
		{"client_ca_file", c.TLSConfig.ClientCAs},
	} {
		if f.path == "" {
			continue
		}
		if _, err := regularfile.Read(f.path, maxCertificate); err != nil {
			return fmt.Errorf("--web.config.file=%s: %s: %w", file, f.key, err)
		}
	}
	return nil
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
	data, err := regularfile.Read(u.file, maxWebConfig)
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
