// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import "net/http"

// HealthHandler returns a handler of /-/healthy and /-/ready only, without the route
// prefix. It is for a listener without TLS and passwords.
func (s *Server) HealthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", handleHealthy)
	mux.HandleFunc("GET /-/ready", s.handleReady)
	return limitRequests(mux)
}
