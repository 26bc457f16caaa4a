// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestTranslatedLogged has NAT for two ports of two addresses, then for none.
func TestTranslatedLogged(t *testing.T) {
	t.Parallel()
	nat := true
	c := setup{
		resolver: resolver{addrs: []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}},
		engine: func(_ context.Context, req scan.Request, report func(scan.PortResult)) error {
			for _, a := range req.Addresses() {
				for port := range req.Plan().Ports().All() {
					r := closedPort(a.IP, port)
					if nat && port < 3 && a.IP.String() != "192.0.2.3" {
						r.State, r.Cause = scan.Unknown, scan.CauseTranslated
					}
					report(r)
				}
			}
			return nil
		},
	}.start(t)
	defer c.Close()
	const want = `level=WARN msg="Local NAT translated scan packets" target=t module=m addresses="[192.0.2.1 192.0.2.2]" ports=4`
	c.mustScan(t, time.Second, newTask(t))
	if got := c.log.take(); strings.Count(got, "NAT") != 1 || !strings.Contains(got, want) {
		t.Errorf("log = %q, want one line with %q", got, want)
	}
	nat = false
	c.mustScan(t, time.Second, newTask(t))
	if got := c.log.take(); strings.Contains(got, "NAT") {
		t.Errorf("log = %q, want no line", got)
	}
}
