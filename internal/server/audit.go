// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"net/netip"
	"strings"
	"time"

	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// auditScan records a probe that was answered with a scan or a cached result.
func (s *Server) auditScan(r *http.Request, arrived time.Time, t *config.Target, m *config.Module, answer coordinator.Answer) {
	result := answer.Result
	e := s.auditEntry(r, arrived, audit.EventScan, http.StatusOK)
	e.Target, e.Module = t.Name, m.Name
	e.Owner, e.Reference = t.Authorization.Owner, t.Authorization.Reference
	e.Addresses = make([]netip.Addr, 0, len(result.Addresses))
	for i := range result.Addresses {
		e.Addresses = append(e.Addresses, result.Addresses[i].IP)
	}
	e.Refused = result.Refused
	e.Ports, e.Attempts = result.Plan.Ports().Len(), result.Attempts
	e.Duration = time.Since(arrived)
	e.Outcome, e.Reason = scanOutcome(result)
	if answer.Retained {
		e.Outcome, e.Reason, e.Attempts = "retained", "", 0
	}
	s.options.Audit(e)
}

// scanOutcome returns the outcome of a scan, and the reasons if it is incomplete.
func scanOutcome(r *scan.Result) (outcome, reason string) {
	if r.Success() {
		return "complete", ""
	}
	var reasons []string
	for _, f := range scan.Failures() {
		if r.Failed[f] != nil {
			reasons = append(reasons, f.String())
		}
	}
	if len(reasons) > 0 {
		return "failed", strings.Join(reasons, ", ")
	}
	for _, cause := range scan.UnknownCauses() {
		for i := range r.Addresses {
			if r.Addresses[i].UnknownByCause()[cause] > 0 {
				reasons = append(reasons, cause.String())
				break
			}
		}
	}
	return "incomplete", strings.Join(reasons, ", ")
}

// auditRefusal records a refused probe. Its parameters are not trusted, and are
// truncated.
func (s *Server) auditRefusal(r *http.Request, arrived time.Time, refused *requestError) {
	const limit = 64 // bytes of a parameter
	e := s.auditEntry(r, arrived, audit.EventRefusal, refused.Status)
	query := r.URL.Query()
	e.Target, e.Module = scan.Truncate(query.Get("target"), limit), scan.Truncate(query.Get("module"), limit)
	if found, ok := s.options.Config.Get().Find(query.Get("target")); ok {
		e.Target = found.Target.Name
		e.Owner, e.Reference = found.Target.Authorization.Owner, found.Target.Authorization.Reference
	}
	e.Outcome, e.Reason = string(refused.Reason), refused.text
	s.options.Audit(e)
}

func (s *Server) auditEntry(r *http.Request, arrived time.Time, event string, status int) audit.Entry {
	return audit.Entry{Time: arrived.UTC(), Event: event, Remote: r.RemoteAddr, User: s.options.User(r), Status: status}
}

// CertifiedUser returns the common name of the client's verified certificate, or
// "" if there is none.
func CertifiedUser(r *http.Request) string {
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return ""
	}
	return r.TLS.VerifiedChains[0][0].Subject.CommonName
}
