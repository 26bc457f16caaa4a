// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import "portscan_exporter/internal/scan"

// applyOtherExclusions removes the exclusions of each target from the scopes of
// less specific targets, so that their names and networks do not reach an excluded
// address. The rule is the same as in [Config.Authorize].
func (l *loader) applyOtherExclusions() {
	all := scan.NewExclusions(func(yield func(string, scan.Scope) bool) {
		for _, t := range l.cfg.targets {
			if !yield(t.Name, t.Scope) {
				return
			}
		}
	})
	for _, t := range l.cfg.targets {
		t.Scope = t.Scope.WithExclusions(all)
	}
}
