// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package audit

import (
	"log/slog"
	"os"
)

// restrictMode does nothing: the system has no modes of files.
func restrictMode(*os.File, *slog.Logger) error { return nil }
