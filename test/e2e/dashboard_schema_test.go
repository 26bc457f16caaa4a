// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestDashboardSchema decodes the dashboards strictly into the types that Grafana generates from
// its schema.
func TestDashboardSchema(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob(filepath.Join(repository, "grafana", "dashboards", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("dashboards = %v, %v, want 2", files, err)
	}
	for _, file := range files {
		var d sdk.Dashboard //nolint:staticcheck // the newer schema is not for Grafana 10 and 11
		// The decoder returns an empty error list even if the dashboard is valid.
		if err := d.UnmarshalJSONStrict([]byte(readFile(t, file))); err != nil && err.Error() != "" {
			t.Errorf("%s: %v", file, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
