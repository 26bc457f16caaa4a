// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"log/slog"
	"net/netip"

	"portscan_exporter/internal/scan"
)

// logTranslated logs that this machine translated packets of the scan (NAT), in one line.
func logTranslated(logger *slog.Logger, task scan.Task, r *scan.Result) {
	const shown = 10
	var addrs []netip.Addr
	ports := 0
	for i := range r.Addresses {
		n := r.Addresses[i].UnknownByCause()[scan.CauseTranslated]
		if n > 0 && len(addrs) < shown {
			addrs = append(addrs, r.Addresses[i].IP)
		}
		ports += n
	}
	if ports > 0 {
		logger.Warn("Local NAT translated scan packets", "target", task.Target, "module", task.Module, "addresses", addrs, "ports", ports)
	}
}
