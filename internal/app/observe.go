// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"net/netip"
	"strings"
	"time"

	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// observeScan counts a scan that has ended, and records it in the audit file.
func (e *exporter) observeScan(event coordinator.Event) {
	if !event.Suspended {
		e.metrics.ObserveScan(event.Task.Module, event.Result)
	}
	e.audit.Scan(newAuditScan(event))
}

// newAuditScan returns the audit event of a scan.
func newAuditScan(event coordinator.Event) audit.Scan {
	task, r := event.Task, event.Result
	s := audit.Scan{
		ID: event.ID, Remote: event.Client.Remote, User: event.Client.User,
		Target: task.Target, Module: task.Module, Owner: task.Owner, Reference: task.Reference,
		Addresses: make([]netip.Addr, 0, len(r.Addresses)), Refused: r.Refused,
		Ports: task.Plan.Ports().Len(), Attempts: event.Attempts,
		Started: event.Started.UTC(), Ended: time.Now().UTC(),
	}
	if s.Remote == "" {
		s.Remote = audit.CommandLine
	}
	for i := range r.Addresses {
		s.Addresses = append(s.Addresses, r.Addresses[i].IP)
	}
	if s.Outcome, s.Reason = scanOutcome(r); event.Suspended {
		s.Outcome = "suspended"
	}
	return s
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
	unknown := r.UnknownByCause()
	for _, cause := range scan.UnknownCauses() {
		if unknown[cause] > 0 {
			reasons = append(reasons, cause.String())
		}
	}
	return "incomplete", strings.Join(reasons, ", ")
}
