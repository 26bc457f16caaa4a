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
)

// ServeOptions are the flags of the serve command.
type ServeOptions struct {
	ConfigFile     string
	CheckOnly      bool // check the configuration and exit
	AutoReload     bool
	ReloadInterval time.Duration // above 0
	TimeoutOffset  float64       // seconds
	HistoryLimit   int
	ExternalURL    string // empty: from each request
	RoutePrefix    string // empty: the path of ExternalURL
	Pprof          bool
	AuditFile      string // empty: no audit
	StateFile      string // empty: in memory only
	Web            *web.FlagConfig
}

// Serve answers probes over HTTP until SIGTERM or SIGINT, or checks the configuration
// with [ServeOptions.CheckOnly]. It returns the exit status.
func Serve(o ServeOptions, logger *slog.Logger, stdout, stderr io.Writer) int {
	if o.ReloadInterval <= 0 {
		fmt.Fprintf(stderr, "portscan_exporter: --config.auto-reload-interval=%v: must be positive: write 30s, for example\n", o.ReloadInterval)
		return ExitRefused
	}
	if o.CheckOnly {
		return checkConfig(o.ConfigFile, stdout, stderr)
	}
	e, err := newExporter(o, logger)
	if err != nil {
		logger.Error("Failed to start", "err", err)
		return ExitFailure
	}
	if err := e.serveUntilSignal(); err != nil {
		logger.Error("Failed to serve", "err", err)
		return ExitFailure
	}
	return ExitOK
}

// newHTTPServer limits the resources of one client. The time for an answer is set for
// each request.
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

// serveUntilSignal serves until SIGTERM or SIGINT, and reloads on SIGHUP.
func (e *exporter) serveUntilSignal() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	return e.serve(ctx, hup)
}

// serve serves until ctx ends, and then answers the pending requests. All goroutines
// that it starts have ended when it returns.
func (e *exporter) serve(ctx context.Context, hup <-chan os.Signal) error {
	e.logger.Info("Starting portscan_exporter", "version", version.Info(), "build_context", version.BuildContext())
	warnErrorQueue(e.logger, engine.CheckErrorQueue)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var others sync.WaitGroup
	defer others.Wait()
	defer e.audit.Close()
	defer e.store.Close()
	defer e.scans.Close()
	others.Go(func() { e.reloadOn(ctx, hup) })
	if e.options.AutoReload {
		others.Go(func() { e.reloader.Watch(ctx, e.options.ReloadInterval, e.checksum) })
	}

	served := make(chan error, 1)
	go func() { served <- web.ListenAndServe(e.http, e.options.Web, e.logger) }()
	select {
	case err := <-served:
		cancel()
		return fmt.Errorf("serving HTTP: %w", err)
	case <-ctx.Done():
	}
	e.logger.Info("Shutting down")
	e.drain() //nolint:contextcheck // ctx has ended; pending requests get a time of their own
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving HTTP: %w", err)
	}
	return nil
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
