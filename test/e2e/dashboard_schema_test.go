package e2e

import (
	"path/filepath"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	sdk "github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// TestDashboardSchema decodes the dashboards strictly by the types that Grafana
// generates from its own schema: no key that it does not know, none missing that it
// asks for.
func TestDashboardSchema(t *testing.T) {
	t.Parallel()
	plugins.RegisterDefaultPlugins()
	files, err := filepath.Glob(filepath.Join(repository, "grafana", "dashboards", "*.json"))
	if err != nil || len(files) != 2 {
		t.Fatalf("two dashboards are expected: %v, %v", files, err)
	}
	for _, file := range files {
		var d sdk.Dashboard //nolint:staticcheck // the newer schema is not for Grafana 10 and 11
		// Without any problem, too, it returns a list of them.
		if err := d.UnmarshalJSONStrict([]byte(readFile(t, file))); err != nil && err.Error() != "" {
			t.Errorf("%s: %v", file, err)
		}
		if err := d.Validate(); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
