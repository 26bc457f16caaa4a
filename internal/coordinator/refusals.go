// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
)

// refusals remembers of each target which addresses were refused last, so that it
// is said when that changes and not at each scan. The zero value is ready; it may
// be used concurrently.
type refusals struct {
	mu   sync.Mutex
	last map[string]string
}

// mostRefusals bounds the memory: targets come and go with the configuration.
const mostRefusals = 10_000

// tell logs the addresses that a target's names led to outside its networks, if they
// are others than the last time. partial says that some names led nowhere, so that
// fewer addresses mean nothing.
func (r *refusals) tell(logger *slog.Logger, target string, refused []netip.Addr, partial bool) {
	const shown = 10
	now := fmt.Sprint(refused)
	r.mu.Lock()
	before, known := r.last[target]
	changed := now != before && (known || len(refused) > 0) && (len(refused) > 0 || !partial)
	if changed {
		if r.last == nil || len(r.last) >= mostRefusals {
			r.last = make(map[string]string)
		}
		r.last[target] = now
	}
	r.mu.Unlock()
	switch {
	case !changed:
	case len(refused) == 0:
		logger.Info("All resolved addresses are in the target networks again", "target", target)
	default:
		logger.Warn("Resolved addresses are outside the target networks",
			"target", target, "addresses", refused[:min(shown, len(refused))], "count", len(refused))
	}
}
