// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package audit

import (
	"fmt"
	"log/slog"
	"os"
	"syscall"
)

// restrictMode removes the permissions of the group and of others if they include
// writing. It returns an error if the file belongs to another user, who could restore
// them.
func restrictMode(file *os.File, logger *slog.Logger) error {
	const othersWrite = 0o022
	info, err := file.Stat()
	if err != nil {
		return err
	}
	mode := info.Mode().Perm()
	if mode&othersWrite == 0 {
		return nil
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && int(stat.Uid) != os.Geteuid() {
		return fmt.Errorf("%s belongs to user ID %d and has mode %04o: remove the write permission of its group and of others",
			file.Name(), stat.Uid, mode)
	}
	if err := file.Chmod(ownerOnly); err != nil {
		return err
	}
	logger.Warn("Restricted mode of audit file", "file", file.Name(), "old_mode", fmt.Sprintf("%04o", mode), "mode", fmt.Sprintf("%04o", ownerOnly))
	return nil
}
