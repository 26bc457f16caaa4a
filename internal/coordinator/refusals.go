// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"portscan_exporter/internal/scan"
)

// refusals has the addresses of each target that were refused last, so that they are logged when
// they change and not at each scan. The zero value is ready for use. It may be used concurrently.
type refusals struct {
	mu   sync.Mutex
	last map[string]string
}

// maxRefusals is the maximum number of targets in refusals, because targets come and go with the
// configuration.
const maxRefusals = 10_000

// log logs the addresses outside its networks to which a target's names were resolved, if they
// have changed. partial means that some names were not resolved: then fewer addresses are no
// change.
func (r *refusals) log(logger *slog.Logger, target string, refused []netip.Addr, partial bool) {
	const shown = 10
	now := fmt.Sprint(refused)
	r.mu.Lock()
	before, known := r.last[target]
	changed := now != before && (known || len(refused) > 0) && (len(refused) > 0 || !partial)
	if changed {
		if r.last == nil || len(r.last) >= maxRefusals {
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

// newRefusedError returns the error for refused addresses. It names a host that a search domain has
// led to another one, as a wildcard record of the domain does for mistyped names.
func newRefusedError(refused []netip.Addr, found []scan.Address) error {
	for _, a := range found {
		if a.FullName != "" && slices.Contains(refused, a.IP.Unmap()) {
			return fmt.Errorf("%w: a search domain led from %s to %s: write the full name with a final dot",
				errAddressRefused, strings.Join(a.Hosts, ", "), a.FullName)
		}
	}
	return errAddressRefused
}
