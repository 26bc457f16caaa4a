// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"fmt"
	"log/slog"
	"os"

	"portscan_exporter/internal/regularfile"
)

const ownerOnly = 0o600

// openFile opens a regular file for appending, or creates it. Only its owner can write
// it afterwards.
func openFile(path string, logger *slog.Logger) (*os.File, error) {
	file, err := regularfile.Open(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, ownerOnly)
	if err != nil {
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	if err := restrictMode(file, logger); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("opening the audit file: %w", err)
	}
	return file, nil
}
