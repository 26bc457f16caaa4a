package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"portscan_exporter/collector"
	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/server"
)

// exporter is the program that serves, wired.
type exporter struct {
	flags       *flags
	logger      *slog.Logger
	coordinator *scans
	reloader    *server.Reloader
	http        *http.Server
	loaded      string     // checksum of the configuration that was loaded at the start
	audit       *audit.Log // nil: none is kept
	stopping    atomic.Bool
}

// newExporter loads the configuration and wires every room to the next.
func newExporter(f *flags, logger *slog.Logger) (*exporter, error) {
	e := &exporter{flags: f, logger: logger}
	externalURL, err := parseExternalURL(f.serve.externalURL)
	if err != nil {
		return nil, err
	}
	prefix := f.serve.routePrefix
	if prefix == "" && externalURL != nil {
		prefix = externalURL.Path
	}
	safe := config.NewSafeConfig(f.configFile, onThisMachine)
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		return nil, fmt.Errorf("making the budget: %w", err)
	}
	registry := prometheus.NewRegistry()
	metrics, err := collector.NewExporter(registry, e.facts(safe, budget))
	if err != nil {
		return nil, fmt.Errorf("making the exporter's metrics: %w", err)
	}
	if f.serve.auditFile != "" {
		if e.audit, err = audit.Open(f.serve.auditFile, metrics.CountAuditFailure, logger); err != nil {
			return nil, fmt.Errorf("--audit.file: %w", err)
		}
	}
	if e.coordinator, err = newScans(budget, coordinator.Options{
		Logger: logger, Allow: stillAllowed(safe), Observe: metrics.ObserveScan, Joined: metrics.CountCoalesced,
	}); err != nil {
		return nil, err
	}
	e.reloader = &server.Reloader{
		File: f.configFile, Config: safe, Exporter: metrics, Logger: logger,
		Apply: func(c *config.Config) {
			applyLimits(c, budget, e.coordinator)
			e.coordinator.Reconfigured(tasks(c))
		},
	}
	// Summed before it is read: a file that changes in between is loaded again.
	e.loaded, _ = config.Checksum(f.configFile) // loading says what is wrong with it
	if err := e.reloader.Reload(); err != nil {
		return nil, fmt.Errorf("loading the configuration: %w", err)
	}
	if f.serve.stateFile != "" {
		if err := e.coordinator.Restore(f.serve.stateFile, tasks(safe.Get())); err != nil {
			return nil, fmt.Errorf("--state.file: %w", err)
		}
	}
	handler, err := server.New(server.Options{
		Config: safe, Scans: e.coordinator, Exporter: metrics, Gatherer: registry,
		Reload: e.reloader.Reload, Ready: func() bool { return !e.stopping.Load() }, Logger: logger,
		Audit: e.audit.Add, User: e.user,
		TimeoutOffset: time.Duration(f.serve.timeoutOffset * float64(time.Second)),
		ExternalURL:   externalURL, RoutePrefix: prefix,
		HistoryLimit: f.serve.historyLimit, Pprof: f.serve.pprof,
	})
	if err != nil {
		return nil, fmt.Errorf("making the server: %w", err)
	}
	e.http = newHTTPServer(handler, logger)
	return e, nil
}

// newHTTPServer bounds what a slow or greedy client can hold on to. How long an
// answer may take is set for each request.
func newHTTPServer(h http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

func applyLimits(c *config.Config, budget *engine.Budget, scans *scans) {
	l := c.Limits()
	budget.SetLimits(engine.Limits{MaxInFlight: l.MaxInFlight, Rate: l.Rate})
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

// stillAllowed returns a task as the configuration in use has it, at the moment its
// scan starts: it may have waited for a place while an authorization ended, or the
// configuration changed.
func stillAllowed(safe *config.SafeConfig) func(scan.Task) (scan.Task, error) {
	return func(task scan.Task) (scan.Task, error) {
		selection, module, err := safe.Get().Authorize(task.Asked, task.Module, time.Now())
		if err != nil {
			return scan.Task{}, err
		}
		now := selection.Task(module)
		if now.Target != task.Target { // an address may have been given to another target
			return scan.Task{}, fmt.Errorf("%s belongs to target %s now, and not to %s", task.Asked, now.Target, task.Target)
		}
		return now, nil
	}
}

// onThisMachine refuses a configuration that this machine can't carry out.
func onThisMachine(c *config.Config) error {
	return errors.Join(config.CheckHost(c, engine.CheckSYN)...)
}

// facts returns what the exporter says of itself at a scrape.
func (e *exporter) facts(safe *config.SafeConfig, budget *engine.Budget) func() collector.ExporterStats {
	return func() collector.ExporterStats {
		b := budget.Stats()
		f := collector.ExporterStats{
			Expiries:         make(map[string]time.Time),
			ScansInFlight:    e.coordinator.InFlight(),
			AttemptsInFlight: b.InFlight, AttemptsInFlightLimit: b.Limit, TCPAttempts: b.TCPAttempts, UDPAttempts: b.UDPAttempts,
		}
		for _, t := range safe.Get().Targets() {
			f.Expiries[t.Name] = t.Authorization.Expires
		}
		return f
	}
}

// serveUntilSignal serves until SIGTERM or SIGINT, and reloads on SIGHUP.
func (e *exporter) serveUntilSignal() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return e.serve(ctx, hup)
}

// serve serves until ctx ends, and then answers what is under way. Every
// goroutine that it starts has ended when it returns.
func (e *exporter) serve(ctx context.Context, hup <-chan os.Signal) error {
	e.logger.Info("Starting portscan_exporter", "version", version.Info(), "build_context", version.BuildContext())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	defer e.audit.Close()
	defer e.coordinator.Close()
	others.Go(func() { e.reloadOn(ctx, hup) })
	if e.flags.serve.autoReload {
		others.Go(func() { e.reloader.Watch(ctx, e.flags.serve.reloadInterval, e.loaded) })
	}

	served := make(chan error, 1)
	go func() { served <- web.ListenAndServe(e.http, e.flags.serve.web, e.logger) }()
	select {
	case err := <-served:
		cancel()
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	e.logger.Info("Shutting down")
	e.drain() //nolint:contextcheck // ctx has ended; what is under way gets a time of its own
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
}

// drain answers what is under way: scans get a moment to end by themselves, then
// their probes are answered with what is known. It takes less than 5 s.
func (e *exporter) drain() {
	const scansEnd, answersEnd = 2 * time.Second, 4 * time.Second
	e.stopping.Store(true)
	interrupt := time.AfterFunc(scansEnd, e.coordinator.Interrupt)
	defer interrupt.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), answersEnd)
	defer cancel()
	if err := e.http.Shutdown(ctx); err != nil {
		e.logger.Warn("Clients were cut off", "err", err)
		_ = e.http.Close()
	}
}

func (e *exporter) reloadOn(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			if err := e.audit.Reopen(); err != nil {
				e.logger.Error("The audit file is not opened anew, the old one stays in use", "err", err)
			}
			_ = e.reloader.Reload() // it logs what is wrong
		}
	}
}

// checkConfig is --config.check: it prints every error and warning. What only
// this machine lacks is a warning.
func checkConfig(file string, stdout, stderr io.Writer) int {
	cfg, warnings, err := config.Load(file, time.Now())
	for _, w := range warnings {
		fmt.Fprintf(stderr, "warning: %s\n", w)
	}
	if err != nil {
		for _, e := range server.SplitErrors(err) {
			fmt.Fprintf(stderr, "error: %v\n", e)
		}
		return exitFailure
	}
	for _, lack := range config.CheckHost(cfg, engine.CheckSYN) {
		fmt.Fprintf(stderr, "warning: %v\n", lack)
	}
	fmt.Fprintf(stdout, "%s is usable: %d targets, %d modules\n", file, len(cfg.Targets()), len(cfg.Modules()))
	return exitOK
}
