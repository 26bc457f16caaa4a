// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"net/url"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/server"
)

// parseExternalURL returns nil for an empty text. Its errors do not quote a password.
func parseExternalURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no URL is no URL
	}
	u, err := url.Parse(text)
	fix := "write an absolute URL, for example https://ports.example.org/exporter"
	switch {
	case err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "":
	case config.RedactURL(text) != text:
		fix = "remove the user name and the password, and write %40 for @ in the path"
	case !server.HasValidPort(u):
		fix = "write a port between 1 and 65535"
	default:
		return u, nil
	}
	return nil, fmt.Errorf("--web.external-url=%s: %s", config.RedactURL(text), fix)
}
