// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import "portscan_exporter/internal/regularfile"

const maxWebConfig = 64 << 20 // bytes

// checkWebConfig returns an error if the web configuration cannot be read, or is not a regular file.
// exporter-toolkit, which reads it, does not check that.
func checkWebConfig(file string) error {
	if file == "" {
		return nil
	}
	_, err := regularfile.Read(file, maxWebConfig)
	return err
}
