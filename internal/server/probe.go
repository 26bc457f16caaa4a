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

// probe answers /probe: it scans one target with one module.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
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
	answerBy(w, arrived.Add(budget+slowestReader))
	ctx, cancel := context.WithDeadline(r.Context(), arrived.Add(budget-allowance))
	defer cancel()

	log.Debug("Starting probe", "ports", task.Plan.Ports().String(), "budget", budget, "write_allowance", allowance)
	known, err := s.options.Scans.Scan(ctx, task)
	if err != nil {
		log.Debug("Probe refused", "err", err)
		s.refuse(w, r, arrived, asRequestError(err))
		return
	}
	answer := collector.NewProbeResult(selection.Target, module, known, arrived)
	log.outcome(answer)
	s.auditScan(r, arrived, selection.Target, module, known)
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector.NewProbe(answer))
	s.history.add(record{
		when: arrived, target: selection.Target.Name, module: module.Name,
		success: answer.Success(), duration: answer.Duration, log: log.text(),
	})
	if params.debug {
		s.writeDebug(w, task, answer, log, reg)
		return
	}
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{}).ServeHTTP(w, r)
}

// slowestReader is how long after its deadline a client may still be reading.
const slowestReader = 10 * time.Second

// probeBudget returns how long a probe may take from its arrival: the module's
// timeout, or what Prometheus leaves us where that is less. Where the offset
// would take all of it, half of it is kept.
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

// writeAllowance returns how much of the budget is kept back for the answer
// itself: at most a quarter of it.
func writeAllowance(task scan.Task, m *config.Module, budget time.Duration) time.Duration {
	const (
		base       = 10 * time.Millisecond
		perPort    = 30 * time.Microsecond  // three series, gathered, written and compressed
		perAddress = 150 * time.Microsecond // a dozen series
		perCell    = 40 * time.Nanosecond   // a port of an address, looked at once or twice
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
