// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"errors"
	"net/http"
	"time"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// permittedProbe is a probe of a configured target and module.
type permittedProbe struct {
	arrived   time.Time
	deadline  time.Time // by which the answer must be written
	cutoff    time.Time // by which it must be written if it is late; zero: no scrape timeout is known
	pending   *pendingAnswer
	debug     bool
	selection config.Selection
	module    *config.Module
	task      scan.Task
	log       *probeLog
}

// handleProbe answers /probe with the metrics of one target and module.
func (s *Server) handleProbe(w http.ResponseWriter, r *http.Request) {
	arrived := arrivalTime(r)
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
	p := &permittedProbe{
		arrived: arrived, debug: params.debug,
		selection: selection, module: module, task: selection.Task(module),
		log: newProbeLog(s.options.Logger, selection.Target.Name, module.Name),
	}
	p.setDeadlines(params.scrapeTimeout, s.options.TimeoutOffset)
	setWriteDeadline(w, p.deadline.Add(readAllowance))
	s.serveProbe(w, r, p, err)
}

// serveProbe answers a permitted probe, or one whose permission depends on names that were not
// resolved. Its scan stops when there is just enough time for the answer.
func (s *Server) serveProbe(w http.ResponseWriter, r *http.Request, p *permittedProbe, err error) {
	ctx, stop := context.WithCancelCause(r.Context())
	defer stop(nil)
	p.pending = s.schedule.add(p.deadline, planSize(p.task, p.module).cost(), func() { stop(context.DeadlineExceeded) })
	defer p.pending.finish()
	var answer coordinator.Answer
	if err == nil {
		answer, err = s.runProbe(ctx, r, p)
	}
	if isUnresolved(err) { // at the arrival, or at the start of the scan
		answer, err = s.options.Scans.FailScan(p.task, s.client(r), p.arrived, scan.FailedDNS, err), nil
	}
	if err != nil {
		p.log.Debug("Probe refused", "err", err)
		s.refuse(w, r, p.arrived, asRequestError(err))
		return
	}
	p.pending.scanEnded()
	// The client may be slow: its answer is written without a slot.
	encoded, failure := s.encodeProbe(r, p, answer)
	switch {
	case failure == nil:
		encoded.write(w)
	case failure.Reason != "":
		s.refuse(w, r, p.arrived, failure)
	default:
		writeError(w, failure)
	}
}

// authorize returns the target and the module of a probe. Names are looked up for at most a third
// of the time that Prometheus waits for the answer.
func (s *Server) authorize(r *http.Request, params probeParams, arrived time.Time) (config.Selection, *config.Module, error) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if params.scrapeTimeout > 0 {
		budget := probeBudget(params.scrapeTimeout, params.scrapeTimeout, s.options.TimeoutOffset)
		ctx, cancel = context.WithDeadline(ctx, arrived.Add(budget/3))
	}
	defer cancel()
	return s.options.Config.Get().Authorize(ctx, s.options.Names, params.target, params.module, arrived)
}

// isUnresolved reports whether the lookup of a name failed that decides about a probe.
func isUnresolved(err error) bool {
	_, ok := errors.AsType[*config.UnresolvedError](err)
	return ok
}

// setDeadlines sets by when the answer must be written. Half of the offset remains for an answer
// that is late.
func (p *permittedProbe) setDeadlines(scrapeTimeout, offset time.Duration) {
	p.deadline = p.arrived.Add(probeBudget(p.module.Timeout, scrapeTimeout, offset))
	if scrapeTimeout > 0 {
		p.cutoff = p.deadline.Add(p.arrived.Add(scrapeTimeout).Sub(p.deadline) / 2)
	}
}

// runProbe returns the results of a probe.
func (s *Server) runProbe(ctx context.Context, r *http.Request, p *permittedProbe) (coordinator.Answer, error) {
	ctx, cancel := context.WithDeadline(ctx, p.pending.scanEnd)
	defer cancel()
	p.log.Debug("Starting probe", "ports", p.task.Plan.Ports().String(),
		"budget", p.deadline.Sub(p.arrived), "write_allowance", p.deadline.Sub(p.pending.scanEnd))
	return s.options.Scans.Scan(ctx, p.task, s.client(r))
}

// encodeProbe logs, audits and encodes the answer to a probe. A few answers are encoded at the
// same time: each takes memory for its metrics.
func (s *Server) encodeProbe(r *http.Request, p *permittedProbe, answer coordinator.Answer) (encodedAnswer, *requestError) {
	defer p.pending.finish()
	release, err := s.answers.acquire(r.Context(), later(p.deadline, p.cutoff))
	if err != nil {
		p.log.Debug("Probe refused", "err", err)
		return encodedAnswer{}, newRequestError(encodersBusy)
	}
	defer release()
	result := collector.NewProbeResult(p.selection.Target, p.module, answer, p.arrived)
	if !p.cutoff.IsZero() && limitPorts(&result, p.pending, p.cutoff) {
		p.log.Debug("Reporting fewer ports", "max_ports", result.MaxPorts)
	}
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

// later returns the later one of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
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

// refuse answers a probe that gets no scan, counts and audits it.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, arrived time.Time, e *requestError) {
	s.options.Exporter.CountRefusal(e.Reason)
	s.auditRefusal(r, arrived, e)
	if e.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	writeError(w, e)
}
