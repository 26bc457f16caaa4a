// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
)

// handleProbe answers /probe with the metrics of one target and module.
func (s *Server) handleProbe(w http.ResponseWriter, r *http.Request) {
	arrived := time.Now()
	params, failure := parseProbeParams(r)
	if failure != nil {
		s.refuse(w, r, arrived, failure)
		return
	}
	selection, module, err := s.options.Config.Get().Authorize(params.target, params.module, arrived)
	if err != nil {
		s.refuse(w, r, arrived, asRequestError(err))
		return
	}
	log := newProbeLog(s.options.Logger, selection.Target.Name, module.Name)
	task := selection.Task(module)
	budget := probeBudget(module.Timeout, params.scrapeTimeout, s.options.TimeoutOffset)
	allowance := writeAllowance(task, module, budget)
	setWriteDeadline(w, arrived.Add(budget+readAllowance))
	ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(budget-allowance))
	defer cancel()

	log.Debug("Starting probe", "ports", task.Plan.Ports().String(), "budget", budget, "write_allowance", allowance)
	answer, err := s.options.Scans.Scan(ctx, task)
	if err != nil {
		log.Debug("Probe refused", "err", err)
		s.refuse(w, r, arrived, asRequestError(err))
		return
	}
	result := collector.NewProbeResult(selection.Target, module, answer, arrived)
	log.logResult(result)
	s.auditScan(r, arrived, selection.Target, module, answer)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector.NewProbe(result))
	s.probeLogs.add(probeRecord{
		started: arrived, target: selection.Target.Name, module: module.Name,
		success: result.Success(), duration: result.Duration, log: log.text(),
	})
	if params.debug {
		s.writeDebug(w, task, result, log, reg)
		return
	}
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
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
