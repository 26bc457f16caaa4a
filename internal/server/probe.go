// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// permittedProbe is a probe of a configured target and module.
type permittedProbe struct {
	arrived   time.Time
	deadline  time.Time // by which the answer must be ready to be written
	debug     bool
	selection config.Selection
	module    *config.Module
	task      scan.Task
	log       *probeLog
}

// handleProbe answers /probe with the metrics of one target and module.
func (s *Server) handleProbe(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	params, failure := parseProbeParams(r)
	if failure != nil {
		s.refuse(w, r, arrived, failure)
		return
	}
	selection, module, err := s.authorize(r, params, arrived)
	if err != nil && !isUnresolved(err) {
		s.refuse(w, r, arrived, asRequestError(err))
		return
	}
	budget := probeBudget(module.Timeout, params.scrapeTimeout, s.options.TimeoutOffset)
	p := &permittedProbe{
		arrived: arrived, deadline: arrived.Add(budget), debug: params.debug,
		selection: selection, module: module, task: selection.Task(module),
		log: newProbeLog(s.options.Logger, selection.Target.Name, module.Name),
	}
	setWriteDeadline(w, p.deadline.Add(readAllowance))
	var answer coordinator.Answer
	if err == nil {
		answer, err = s.runProbe(r, p, budget)
	}
	if isUnresolved(err) { // at the arrival, or at the start of the scan
		answer, err = coordinator.NewFailedAnswer(p.task, arrived, scan.FailedDNS, err), nil
	}
	if err != nil {
		p.log.Debug("Probe refused", "err", err)
		s.refuse(w, r, arrived, asRequestError(err))
		return
	}
	// The client may be slow: its answer is written without a slot.
	encoded, failure := s.encodeProbe(r, p, answer)
	switch {
	case failure == nil:
		encoded.write(w)
	case failure.Reason != "":
		s.refuse(w, r, arrived, failure)
	default:
		writeError(w, failure)
	}
}

// authorize returns the target and the module of a probe. Names are looked up for at most half of
// the time that Prometheus waits for the answer.
func (s *Server) authorize(r *http.Request, params probeParams, arrived time.Time) (config.Selection, *config.Module, error) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if params.scrapeTimeout > 0 {
		budget := probeBudget(params.scrapeTimeout, params.scrapeTimeout, s.options.TimeoutOffset)
		ctx, cancel = context.WithDeadline(ctx, arrived.Add(budget/2))
	}
	defer cancel()
	return s.options.Config.Get().Authorize(ctx, s.options.Names, params.target, params.module, arrived)
}

// isUnresolved reports whether the lookup of a name failed that decides about a probe.
func isUnresolved(err error) bool {
	_, ok := errors.AsType[*config.UnresolvedError](err)
	return ok
}

// runProbe returns the results of a probe.
func (s *Server) runProbe(r *http.Request, p *permittedProbe, budget time.Duration) (coordinator.Answer, error) {
	allowance := writeAllowance(p.task, p.module, budget)
	ctx, cancel := context.WithDeadline(r.Context(), p.deadline.Add(-allowance))
	defer cancel()
	p.log.Debug("Starting probe", "ports", p.task.Plan.Ports().String(), "budget", budget, "write_allowance", allowance)
	return s.options.Scans.Scan(ctx, p.task, coordinator.Client{Remote: r.RemoteAddr, User: s.user(r)})
}

// encodeProbe logs, audits and encodes the answer to a probe. A few answers are encoded at the
// same time: each takes memory for its metrics.
func (s *Server) encodeProbe(r *http.Request, p *permittedProbe, answer coordinator.Answer) (encodedAnswer, *requestError) {
	release, err := s.answers.acquire(r.Context(), p.deadline)
	if err != nil {
		p.log.Debug("Probe refused", "err", err)
		return encodedAnswer{}, newRequestError(encodersBusy)
	}
	defer release()
	result := collector.NewProbeResult(p.selection.Target, p.module, answer, p.arrived)
	p.log.logResult(result)
	s.auditProbe(r, p.arrived, p.task, answer)
	s.probeLogs.add(probeRecord{
		started: p.arrived, target: p.selection.Target, module: p.module.Name,
		success: result.Success(), duration: result.Duration, log: p.log.text(),
	})
	var encoded encodedAnswer
	if p.debug {
		encoded, err = encodeDebug(p, result)
	} else {
		encoded, err = s.answers.encode(r, p, result)
	}
	if err != nil {
		return encodedAnswer{}, newRequestError(failedGather, err)
	}
	return encoded, nil
}

// readAllowance is the time after a probe's deadline in which the client may read
// the response.
const readAllowance = 10 * time.Second

// probeBudget returns the time that a probe may take from its arrival: the
// smaller one of the module's timeout and the scrape timeout less the offset. If
// the offset exceeds the scrape timeout, half of the scrape timeout is used.
func probeBudget(module, scrape, offset time.Duration) time.Duration {
	switch {
	case scrape == 0:
		return module
	case scrape > offset:
		return min(module, scrape-offset)
	default:
		return min(module, scrape/2)
	}
}

// writeAllowance returns the part of the budget that is reserved for writing the
// response: at most a quarter.
func writeAllowance(task scan.Task, m *config.Module, budget time.Duration) time.Duration {
	const (
		base       = 10 * time.Millisecond
		perPort    = 30 * time.Microsecond  // three series: gather, write and compress
		perAddress = 150 * time.Microsecond // a dozen series
		perCell    = 40 * time.Nanosecond   // a port of an address
	)
	addresses := task.MaxAddresses
	if !slices.ContainsFunc(task.Hosts, scan.Host.IsName) {
		addresses = 0
		for _, h := range task.Hosts {
			addresses += min(h.Count(), task.MaxAddresses)
		}
		addresses = min(addresses, task.MaxAddresses)
	}
	cells := addresses * task.Plan.Ports().Len()
	cost := base + time.Duration(min(m.MaxPorts, cells))*perPort +
		time.Duration(addresses)*perAddress + time.Duration(cells)*perCell
	return min(budget/4, cost)
}

// refuse answers a probe that gets no scan, counts and audits it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, arrived time.Time, e *requestError) {
	s.options.Exporter.CountRefusal(e.Reason)
	s.auditRefusal(r, arrived, e)
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeError(w, e)
}
