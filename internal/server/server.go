// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Package server implements the HTTP interface of the exporter: probes,
// discovery, metrics, status pages and reloads. It turns requests into tasks for
// the coordinator and results into responses; it opens no sockets to targets.
package server

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// Scans runs scans and returns their results, see [coordinator.Coordinator].
type Scans interface {
	Scan(ctx context.Context, task scan.Task, client coordinator.Client) (coordinator.Answer, error)
	FailScan(task scan.Task, client coordinator.Client, started time.Time, failure scan.Failure, err error) coordinator.Answer
	UnderWay() []coordinator.UnderWay
}

// Results are the results of scans, see [store.Store].
type Results interface {
	Summaries() []*store.Summary
	TargetViews(target string) []*store.TargetView
	Changes(target string) []store.Change
}

// Options are the parameters of [New]. The fields before TimeoutOffset are
// required.
type Options struct {
	Config   *config.SafeConfig
	Names    config.Names
	Scans    Scans
	Results  Results // for the pages
	Exporter *collector.Exporter
	Gatherer prometheus.Gatherer // for /metrics
	Reload   func() error        // for /-/reload
	Ready    func() bool         // for /-/ready
	Logger   *slog.Logger
	Audit    *audit.Log                 // records answers and refusals; nil: none
	User     func(*http.Request) string // returns the verified user, or ""

	TimeoutOffset time.Duration // subtracted from Prometheus's scrape timeout
	ExternalURL   *url.URL      // URL at which clients reach the exporter; nil: the Host header has it
	RoutePrefix   string        // prefix of all paths; "" or "/": none
	HistoryLimit  int           // number of failed and of complete probes to keep
	Pprof         bool          // serve /debug/pprof
}

// Server is an [http.Handler] for all endpoints, made by [New]. It may be used
// concurrently.
type Server struct {
	options   Options
	prefix    string // the route prefix, "" or "/something"
	probeLogs *probeLogs
	answers   *answerEncoder
	schedule  *answerSchedule
	pages     *pages
	handler   http.Handler
}

// New returns a server.
func New(o Options) (*Server, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{
		options:   o,
		prefix:    strings.TrimSuffix(path.Clean("/"+o.RoutePrefix), "/"),
		probeLogs: newProbeLogs(o.HistoryLimit),
		answers:   newAnswerEncoder(),
		schedule:  newAnswerSchedule(),
		pages:     p,
	}
	s.handler = s.routes()
	return s, nil
}

func (o *Options) validate() error {
	for _, field := range []struct {
		name string
		set  bool
	}{
		{"Config", o.Config != nil},
		{"Names", o.Names != nil},
		{"Scans", o.Scans != nil},
		{"Results", o.Results != nil},
		{"Exporter", o.Exporter != nil},
		{"Gatherer", o.Gatherer != nil},
		{"Reload", o.Reload != nil},
		{"Ready", o.Ready != nil},
		{"Logger", o.Logger != nil},
		{"User", o.User != nil},
	} {
		if !field.set {
			return fmt.Errorf("server.New: %s is required", field.name)
		}
	}
	if o.TimeoutOffset < 0 {
		return fmt.Errorf("--timeout-offset=%v: must not be negative", o.TimeoutOffset)
	}
	if strings.Trim(o.RoutePrefix, prefixCharacters) != "" {
		return fmt.Errorf("--web.route-prefix=%s: use letters, digits, -._~ and slashes, as in /exporter", o.RoutePrefix)
	}
	return nil
}

// prefixCharacters are the slash and the characters that need no escaping in a
// path (RFC 3986 section 2.3).
const prefixCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

// routes returns the handler of all paths. Handlers get the complete path: redirects of the
// mux keep the route prefix.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(method, path string, h http.HandlerFunc) { mux.Handle(method+" "+s.prefix+path, h) }
	handle("GET", "/probe", s.handleProbe)
	handle("GET", "/sd", s.handleDiscovery)
	handle("GET", "/metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelError),
	}).ServeHTTP)
	handle("GET", "/{$}", s.handleIndex)
	handle("GET", "/target/{name}", s.handleTarget)
	for name, a := range s.pages.assets {
		handle("GET", "/"+name, a.handle)
	}
	handle("GET", "/logs", s.handleLogs)
	handle("GET", "/config", s.handleConfig)
	handle("GET", "/-/healthy", handleHealthy)
	handle("GET", "/-/ready", s.handleReady)
	handle("POST", "/-/reload", s.handleReload)
	if s.options.Pprof {
		s.addProfiles(handle)
	}
	if s.prefix != "" {
		mux.Handle("GET /{$}", http.RedirectHandler(s.prefix+"/", http.StatusFound))
	}
	return limitRequests(s.refuseCrossOrigin(mux))
}

// addProfiles adds the handlers of profiles.
func (s *Server) addProfiles(handle func(method, path string, h http.HandlerFunc)) {
	handle("GET", "/debug/pprof", http.RedirectHandler(s.basePath()+"debug/pprof/", http.StatusFound).ServeHTTP)
	index := http.StripPrefix(s.prefix, http.HandlerFunc(pprof.Index)).ServeHTTP
	for path, h := range map[string]http.HandlerFunc{
		"": index, "cmdline": pprof.Cmdline, "profile": pprof.Profile, "symbol": pprof.Symbol, "trace": pprof.Trace,
	} {
		handle("GET", "/debug/pprof/"+path, extendWriteDeadline(h))
	}
}

// extendWriteDeadline gives a profile the time in which it is recorded, too.
func extendWriteDeadline(next http.HandlerFunc) http.HandlerFunc {
	const longest, byDefault = 24 * time.Hour, 30 * time.Second // a CPU profile takes the default
	return func(w http.ResponseWriter, r *http.Request) {
		recording := byDefault
		if seconds, err := strconv.ParseFloat(r.URL.Query().Get("seconds"), 64); err == nil && seconds > 0 {
			recording = time.Duration(min(seconds, longest.Seconds()) * float64(time.Second))
		}
		setWriteDeadline(w, time.Now().Add(recording+writeTimeout))
		next(w, r)
	}
}

// refuseCrossOrigin refuses requests that a page of another origin makes a browser send,
// unless they are safe. The origin of the external URL is the exporter's own: a proxy can
// change the Host header.
func (s *Server) refuseCrossOrigin(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	if e := s.options.ExternalURL; e != nil {
		_ = protection.AddTrustedOrigin(originOf(e)) // fails only for an IPv6 zone, which browsers do not send
	}
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, newRequestError(crossOrigin))
	}))
	return protection.Handler(next)
}

// originOf returns the origin of a URL as browsers send it: in lower case, without the default
// port.
func originOf(u *url.URL) string {
	host := strings.ToLower(u.Host)
	if port := u.Port(); port == "" || port == defaultPort(u.Scheme) {
		host = strings.TrimSuffix(host, ":"+port)
	}
	return strings.ToLower(u.Scheme) + "://" + host
}

// writeTimeout is the time in which the client must read a response. Probes and profiles set
// their own.
const writeTimeout = 30 * time.Second

// limitRequests sets the headers of every response, limits the time in which a client
// must read it, and refuses unclean paths instead of redirecting them.
func limitRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		h.Set("Cache-Control", "no-store") // answers depend on the configuration and on scans
		setWriteDeadline(w, time.Now().Add(writeTimeout))
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			writeError(w, newRequestError(uncleanPath))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// setWriteDeadline sets the time by which the client must have read the response.
// Test recorders do not support it.
func setWriteDeadline(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(t)
}

func handleHealthy(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "Healthy\n") }

func (s *Server) handleReady(w http.ResponseWriter, _ *http.Request) {
	if !s.options.Ready() {
		writeError(w, newRequestError(shuttingDown))
		return
	}
	writeText(w, http.StatusOK, "Ready\n")
}

func (s *Server) handleReload(w http.ResponseWriter, _ *http.Request) {
	if err := s.options.Reload(); err != nil {
		writeError(w, newRequestError(failedReload, err))
		return
	}
	writeText(w, http.StatusOK, "Reloaded\n")
}

func (s *Server) handleConfig(w http.ResponseWriter, _ *http.Request) {
	text, err := s.options.Config.Get().YAML()
	if err != nil {
		s.options.Logger.Error("Failed to render page", "page", "config", "err", err)
		writeError(w, newRequestError(failedPage))
		return
	}
	writeExactText(w, http.StatusOK, text)
}

// writeText answers with lines of text, whose invisible characters are escaped.
func writeText(w http.ResponseWriter, status int, body string) {
	writeExactText(w, status, printable.EscapeLines(body))
}

// writeExactText answers with a text that programs read.
func writeExactText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) //nolint:gosec // text/plain, and nosniff: nothing in it is run
}
