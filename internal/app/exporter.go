// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"portscan_exporter/collector"
	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
	"portscan_exporter/internal/store"
)

// exporter is the serving program, wired.
type exporter struct {
	options  ServeOptions
	logger   *slog.Logger
	config   *config.SafeConfig
	budget   *engine.Budget
	registry *prometheus.Registry
	metrics  *collector.Exporter
	store    *store.Store
	names    *resolve.Resolver
	scans    *scans
	reloader *config.Reloader
	http     *http.Server
	health   http.Handler // for the health listener
	checksum string       // of the configuration that was loaded at the start
	audit    *audit.Log   // nil: no audit
	stopping atomic.Bool

	maxConnections int // as descriptors allow
}

// newExporter loads the configuration and wires the packages together.
func newExporter(o ServeOptions, logger *slog.Logger) (*exporter, error) {
	e := &exporter{options: o, logger: logger, config: config.NewSafeConfig(o.ConfigFile, checkHost), registry: prometheus.NewRegistry()}
	err := checkWebConfig(*o.Web.WebConfigFile)
	if err != nil {
		return nil, err
	}
	if e.maxConnections = engine.MaxConnections(o.MaxConnections); e.maxConnections < o.MaxConnections {
		logger.Warn("Lowered connection limit", "flag", "--web.max-connections", "from", o.MaxConnections, "to", e.maxConnections, "reason", "limit of file descriptors")
	}
	if e.budget, err = engine.NewBudget(engine.Limits{}); err != nil {
		return nil, fmt.Errorf("making the budget: %w", err)
	}
	if e.metrics, err = collector.NewExporter(e.registry, e.stats); err != nil {
		return nil, fmt.Errorf("making the exporter's metrics: %w", err)
	}
	if o.AuditFile != "" {
		if e.audit, err = audit.Open(o.AuditFile, e.metrics.CountAuditFailure, logger); err != nil {
			return nil, fmt.Errorf("--audit.file: %w", err)
		}
	}
	if e.store, err = store.New(logger); err != nil {
		return nil, fmt.Errorf("making the store: %w", err)
	}
	if e.names, err = newResolver(); err != nil {
		return nil, err
	}
	if e.scans, err = newScans(e.budget, coordinator.Options{
		Resolver: e.names, Logger: logger, Store: e.store, Observe: e.observeScan, Joined: e.metrics.CountCoalesced,
		Allow: stillAllowed(e.config, e.names), Keep: stillConfigured(e.config),
	}); err != nil {
		return nil, err
	}
	if err := e.load(); err != nil {
		return nil, err
	}
	handler, err := e.newHandler()
	if err != nil {
		return nil, err
	}
	if e.http, err = newHTTPServer(handler, e.maxConnections, logger); err != nil {
		return nil, err
	}
	return e, nil
}

// load loads the configuration, and then the state file.
func (e *exporter) load() error {
	e.reloader = &config.Reloader{
		File: e.options.ConfigFile, Config: e.config, Logger: e.logger, Observe: e.metrics.ObserveReload,
		Apply: func(c *config.Config) {
			warnOwnHosts(c, e.logger)
			applyLimits(c, e.budget, e.scans, e.maxConnections)
			e.scans.Reconfigure(tasks(c))
		},
	}
	// Before the files are loaded: one that changes in between is loaded again.
	sum, err := e.config.Checksum()
	if err == nil {
		err = e.reloader.Reload()
	}
	if err != nil {
		return fmt.Errorf("loading the configuration: %w", err)
	}
	e.checksum = sum
	if e.options.StateFile != "" {
		o := store.StateOptions{Tasks: tasks(e.config.Get()), Allow: stillConfigured(e.config), Running: e.scans.Sweeps}
		if err := e.store.Restore(e.options.StateFile, o); err != nil {
			return fmt.Errorf("--state.file: %w", err)
		}
	}
	return nil
}

func (e *exporter) newHandler() (http.Handler, error) {
	externalURL, err := parseExternalURL(e.options.ExternalURL)
	if err != nil {
		return nil, err
	}
	handler, err := server.New(server.Options{
		Config: e.config, Names: e.names, Scans: e.scans, Results: e.store, Exporter: e.metrics, Gatherer: e.registry,
		Reload: e.reloader.Reload, Ready: func() bool { return !e.stopping.Load() }, Logger: e.logger,
		Audit: e.audit, User: verifiedUser,
		TimeoutOffset: time.Duration(e.options.TimeoutOffset * float64(time.Second)),
		ExternalURL:   externalURL, RoutePrefix: e.options.pathPrefix(externalURL),
		HistoryLimit: e.options.HistoryLimit, Pprof: e.options.Pprof,
	})
	if err != nil {
		return nil, fmt.Errorf("making the server: %w", err)
	}
	if err := handler.Measure(); err != nil {
		return nil, fmt.Errorf("making the server: %w", err)
	}
	e.health = handler.HealthHandler()
	return dropUnverified(&webUsers{file: *e.options.Web.WebConfigFile}, handler), nil
}

// applyLimits applies the configuration's limits beside a number of HTTP connections.
func applyLimits(c *config.Config, budget *engine.Budget, scans *scans, connections int) {
	l := c.Limits()
	budget.SetLimits(engine.Limits{MaxInFlight: l.MaxInFlight, Rate: l.Rate, Connections: connections})
	scans.SetMaxScans(l.MaxScans)
}

// tasks returns the scans of all targets with each of their modules.
func tasks(c *config.Config) (all []scan.Task) {
	for _, t := range c.Targets() {
		for _, m := range t.Modules {
			all = append(all, config.Selection{Target: t}.Task(m))
		}
	}
	return all
}

// stillAllowed returns a task as the current configuration has it when its scan starts:
// while the scan was queued, an authorization may have expired, a name may resolve to
// another address, or the configuration may have changed.
func stillAllowed(safe *config.SafeConfig, names config.Names) func(context.Context, scan.Task) (scan.Task, error) {
	return func(ctx context.Context, task scan.Task) (scan.Task, error) {
		selection, module, err := safe.Get().Authorize(ctx, names, task.Asked, task.Module, time.Now())
		if err != nil {
			return scan.Task{}, err
		}
		return currentTask(task, selection, module)
	}
}

// stillConfigured returns a task as the current configuration has it, without looking up names.
func stillConfigured(safe *config.SafeConfig) func(scan.Task) (scan.Task, error) {
	return func(task scan.Task) (scan.Task, error) {
		selection, module, err := safe.Get().Reauthorize(task.Target, task.Asked, task.Module, time.Now())
		if err != nil {
			return scan.Task{}, err
		}
		return currentTask(task, selection, module)
	}
}

// currentTask returns the task of the selection, unless an address is inside another target now.
func currentTask(task scan.Task, selection config.Selection, module *config.Module) (scan.Task, error) {
	current := selection.Task(module)
	if current.Target != task.Target {
		return scan.Task{}, fmt.Errorf("%s now belongs to target %s, not to %s", task.Asked, current.Target, task.Target)
	}
	return current, nil
}

// stats returns the exporter's own figures at a scrape.
func (e *exporter) stats() collector.ExporterStats {
	b := e.budget.Stats()
	s := collector.ExporterStats{
		Expiries:         make(map[string]time.Time),
		ScansInFlight:    e.scans.InFlight(),
		AttemptsInFlight: b.InFlight, AttemptsInFlightLimit: b.Limit, TCPAttempts: b.TCPAttempts, UDPAttempts: b.UDPAttempts,
	}
	for _, t := range e.config.Get().Targets() {
		s.Expiries[t.Name] = t.Authorization.Expires
	}
	return s
}
