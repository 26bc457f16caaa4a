// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"time"

	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// auditProbe records a probe that was answered.
func (s *Server) auditProbe(r *http.Request, arrived time.Time, task scan.Task, answer coordinator.Answer) {
	s.options.Audit.Probe(audit.Probe{
		Time: arrived.UTC(), Remote: r.RemoteAddr, User: s.user(r), Target: task.Asked, Module: task.Module,
		Scan: answer.ScanID, Source: audit.Source(answer.Source), Status: http.StatusOK, Duration: time.Since(arrived),
	})
}

// auditRefusal records a refused probe. Its parameters are not trusted, and are
// truncated. An address has no owner here: it may not be inside the target of the reason.
func (s *Server) auditRefusal(r *http.Request, arrived time.Time, refused *requestError) {
	const limit = 64 // bytes of a parameter
	query := r.URL.Query()
	e := audit.Refusal{
		Time: arrived.UTC(), Remote: r.RemoteAddr, User: s.user(r),
		Target: scan.Truncate(query.Get("target"), limit), Module: scan.Truncate(query.Get("module"), limit),
		Outcome: string(refused.Reason), Reason: refused.text, Status: refused.Status,
	}
	if found, ok := s.options.Config.Get().Target(query.Get("target")); ok {
		e.Owner, e.Reference = found.Authorization.Owner, found.Authorization.Reference
	}
	s.options.Audit.Refusal(e)
}

// client returns who sent a request.
func (s *Server) client(r *http.Request) coordinator.Client {
	return coordinator.Client{Remote: r.RemoteAddr, User: s.user(r)}
}

// user returns the verified user of a request. The name in a certificate can be long.
func (s *Server) user(r *http.Request) string {
	const limit = 256 // bytes
	return scan.Truncate(s.options.User(r), limit)
}

// CertifiedUser returns the common name of the client's verified certificate, or
// "" if there is none.
func CertifiedUser(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	return r.TLS.VerifiedChains[0][0].Subject.CommonName
}
