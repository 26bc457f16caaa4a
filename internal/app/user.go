// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/http"

	"portscan_exporter/internal/server"
)

// dropUnverified removes the user name and password of a request that exporter-toolkit has
// not verified: it verifies none if its file has no users, and a client can send any
// name. It must be the first handler after exporter-toolkit's: the file can change while a
// probe is answered.
func dropUnverified(users *webUsers, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" && !users.Required() {
			r.Header.Del("Authorization")
		}
		next.ServeHTTP(w, r)
	})
}

// verifiedUser returns the verified name of a client for the audit file: from its password,
// see [dropUnverified], or from its certificate.
func verifiedUser(r *http.Request) string {
	if name, _, given := r.BasicAuth(); given {
		return name
	}
	return server.CertifiedUser(r)
}
