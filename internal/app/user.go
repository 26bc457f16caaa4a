// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/http"
	"os"

	"go.yaml.in/yaml/v4"

	"portscan_exporter/internal/server"
)

// user returns the verified name of a client for the audit file: from its certificate,
// or from its password. exporter-toolkit rejects wrong passwords if its file has users;
// otherwise it checks none, and a client can claim any name.
func (e *exporter) user(r *http.Request) string {
	if e.audit == nil {
		return ""
	}
	name, _, given := r.BasicAuth()
	if given && hasUsers(*e.options.Web.WebConfigFile) {
		return name
	}
	return server.CertifiedUser(r)
}

// hasUsers reports whether exporter-toolkit's file has users. It reads the file at each
// request, as exporter-toolkit does.
func hasUsers(file string) bool {
	if file == "" {
		return false
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return false
	}
	var web struct {
		Users map[string]any `yaml:"basic_auth_users"`
	}
	return yaml.Unmarshal(data, &web) == nil && len(web.Users) > 0
}
