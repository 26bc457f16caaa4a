// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"math"
	"slices"

	"portscan_exporter/internal/scan"
)

// checkMemory reports an error for each module whose scan of the target can have more ports
// than memory bears. With names in hosts, max_addresses is the number of addresses.
func (l *loader) checkMemory(t *targetDraft) {
	named := slices.ContainsFunc(t.Hosts, scan.Host.IsName)
	for i, m := range t.Modules {
		plan, ok := t.plans[m]
		switch {
		case !ok:
		case named:
			count := fmt.Sprintf("max_addresses %d", m.MaxAddresses)
			if !l.checkPorts(l.modulePos[m], count, m.MaxAddresses, plan) {
				l.invalid[m] = true // other targets would have the same error
			}
		default:
			n := min(m.MaxAddresses, t.countAddresses(t.FamilyFor(m)))
			l.checkPorts(t.moduleAt[i], fmt.Sprintf("%d addresses", n), n, plan)
		}
	}
}

// checkPorts reports whether a scan of the addresses is within the limit of ports, and reports an error if not.
func (l *loader) checkPorts(at value, count string, addresses int, plan scan.Plan) bool {
	const gibibyte = 1 << 30
	ports := int64(plan.Ports().Len())
	total := int64(addresses) * ports
	if total <= scan.MaxScanPorts {
		return true
	}
	l.errorf(at, "%s x %d ports = %d ports, which can take %d GiB of memory: write fewer ports, or a lower max_addresses in the module or fewer hosts, for at most %d ports",
		count, ports, total, (total*scan.MaxPortBytes+gibibyte-1)/gibibyte, scan.MaxScanPorts)
	return false
}

// countAddresses returns the number of numeric addresses of a family to scan.
func (t *Target) countAddresses(family scan.Family) int {
	count := addrsToScan(t, t.Hosts, family).count()
	if !count.IsInt64() {
		return math.MaxInt32
	}
	return int(min(count.Int64(), math.MaxInt32))
}
