// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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
	"syscall"
	"time"

	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/privilege"
	"portscan_exporter/internal/server"
)

// ServeOptions are the flags of the serve command.
type ServeOptions struct {
	WebOptions

	ConfigFile     string
	CheckOnly      bool // check the configuration and exit
	AutoReload     bool
	ReloadInterval time.Duration // above 0
	TimeoutOffset  float64       // seconds
	HistoryLimit   int
	Pprof          bool
	MaxConnections int    // above 0
	AuditFile      string // empty: no audit
	StateFile      string // empty: in memory only
}

// Serve answers probes over HTTP until SIGTERM or SIGINT, or checks the configuration
// with [ServeOptions.CheckOnly]. It returns the exit status.
func Serve(o ServeOptions, logger *slog.Logger, stdout, stderr io.Writer) int {
	if err := o.validate(); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: %v\n", err)
		return ExitRefused
	}
	if o.CheckOnly {
		dropPrivileges(logger, privilege.Drop)
		return checkConfig(o.ConfigFile, stdout, stderr)
	}
	// First of all: a signal that arrives during the start takes effect after it.
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	dropPrivileges(logger, privilege.DropBeforeListening)
	logger.Info("Starting portscan_exporter", "version", version.Info(), "build_context", version.BuildContext())
	e, err := awaitExporter(ctx, o, logger)
	switch {
	case ctx.Err() != nil && e == nil:
		logger.Info("Shutting down")
		return ExitOK
	case err != nil:
		logger.Error("Failed to start", "err", err)
		return ExitFailure
	}
	dropWhenListening(e.http, logger)
	if err := e.serve(ctx, hup); err != nil {
		logger.Error("Failed to serve", "err", err)
		return ExitFailure
	}
	return ExitOK
}

// validate checks the flags that have no other package.
func (o ServeOptions) validate() error {
	switch {
	case o.ReloadInterval <= 0:
		return fmt.Errorf("--config.auto-reload-interval=%v: must be positive: write 30s, for example", o.ReloadInterval)
	case o.MaxConnections <= 0:
		return fmt.Errorf("--web.max-connections=%d: must be positive: write 512, for example", o.MaxConnections)
	}
	return nil
}

// awaitExporter is [newExporter]. If ctx ends first, it returns nil: large files take long to
// load, and the program ends at once.
func awaitExporter(ctx context.Context, o ServeOptions, logger *slog.Logger) (*exporter, error) {
	var e *exporter
	made := make(chan error, 1)
	go func() {
		var err error
		e, err = newExporter(o, logger)
		made <- err
	}()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case err := <-made:
		return e, err
	}
}

// newHTTPServer limits the resources of clients. The time for an answer is set for each
// request.
func newHTTPServer(h http.Handler, maxConnections int, logger *slog.Logger) (*http.Server, error) {
	s := &http.Server{
		Handler:           h,
		ConnContext:       server.ConnContext,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
	if err := server.LimitConnections(s, maxConnections); err != nil {
		return nil, fmt.Errorf("limiting connections: %w", err)
	}
	return s, nil
}

// serve serves until ctx ends, reloads on hup, and then answers the pending requests. All goroutines
// that it starts have ended when it returns.
func (e *exporter) serve(ctx context.Context, hup <-chan os.Signal) error {
	warnErrorQueue(e.logger, engine.CheckErrorQueue)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	release := context.AfterFunc(ctx, e.config.Close) // ends a reload whose files cannot be read
	defer release()
	var others sync.WaitGroup
	defer others.Wait()
	defer e.audit.Close()
	defer e.store.Close()
	defer e.scans.Close()
	health, err := startHealthListener(ctx, &e.options.WebOptions, e.health, e.logger)
	if err != nil {
		return err
	}
	defer health.close() // after the pending requests: until then it reports the shutdown
	others.Go(func() { e.reloadOn(ctx, hup) })
	if e.options.AutoReload {
		others.Go(func() { e.reloader.Watch(ctx, e.options.ReloadInterval, e.checksum) })
	}

	served := make(chan error, 1)
	go func() { served <- web.ListenAndServe(e.http, e.options.Web, e.logger) }()
	var failure error
	select {
	case err := <-served:
		cancel()
		return fmt.Errorf("serving HTTP: %w", err)
	case err := <-health.failed():
		failure = fmt.Errorf("serving health checks: %w", err)
		cancel()
	case <-ctx.Done():
	}
	e.logger.Info("Shutting down")
	e.drain() //nolint:contextcheck // ctx has ended; pending requests get a time of their own
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return failure
}

// drain answers the pending requests: scans get a moment to finish, then their probes
// are answered with the ports known so far. It takes less than 5 s.
func (e *exporter) drain() {
	const scansEnd, answersEnd = 2 * time.Second, 4 * time.Second
	e.stopping.Store(true)
	interrupt := time.AfterFunc(scansEnd, e.scans.Interrupt)
	defer interrupt.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), answersEnd)
	defer cancel()
	if err := e.http.Shutdown(ctx); err != nil {
		e.logger.Warn("Closed unanswered connections", "err", err)
		_ = e.http.Close()
	}
}

func (e *exporter) reloadOn(ctx context.Context, hup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hup:
			e.audit.Reopen()
			_ = e.reloader.Reload() // it logs the errors
		}
	}
}
