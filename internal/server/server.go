// Package server is what HTTP shows of the exporter: probes, discovery, its own
// metrics, pages and reloads. It turns requests into tasks for the coordinator
// and results into answers; it opens no socket to a target itself.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"net/url"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"portscan_exporter/collector"
	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// Scans runs scans; see [portscan_exporter/coordinator.Coordinator].
type Scans interface {
	Scan(ctx context.Context, task scan.Task) (coordinator.Answer, error)
	UnderWay() []coordinator.UnderWay
	Summaries() []coordinator.Summary
	Sights(target string) []*coordinator.Sight
	Changes(target string) []coordinator.Change
}

// Options are what a server is made of. All are required but for ExternalURL,
// RoutePrefix, HistoryLimit and Pprof.
type Options struct {
	Config   *config.SafeConfig
	Scans    Scans
	Exporter *collector.Exporter
	Gatherer prometheus.Gatherer // for /metrics
	Reload   func() error        // for /-/reload
	Ready    func() bool         // for /-/ready
	Logger   *slog.Logger
	Audit    func(audit.Entry)          // is told of every scan and refusal
	User     func(*http.Request) string // who asks, as far as that is proved; "": nobody knows

	TimeoutOffset time.Duration // taken off Prometheus's scrape timeout
	ExternalURL   *url.URL      // how Prometheus and people reach us; nil: as they ask
	RoutePrefix   string        // where our paths begin; "" or "/": at the root
	HistoryLimit  int           // recent probes kept, failed and good ones each
	Pprof         bool          // serve /debug/pprof
}

// Server answers HTTP requests. Make one with [New]; it may be used concurrently.
type Server struct {
	options Options
	prefix  string // the route prefix, "" or "/something"
	history *history
	pages   *pages
	handler http.Handler
}

// New returns a server.
func New(o Options) (*Server, error) {
	if o.Config == nil || o.Scans == nil || o.Exporter == nil || o.Gatherer == nil ||
		o.Reload == nil || o.Ready == nil || o.Logger == nil {
		return nil, errors.New("a server needs all of its parts")
	}
	if o.Audit == nil || o.User == nil {
		return nil, errNoAudit
	}
	if o.TimeoutOffset < 0 {
		return nil, fmt.Errorf("a timeout offset is not negative: %v", o.TimeoutOffset)
	}
	prefix := strings.TrimSuffix(path.Clean("/"+o.RoutePrefix), "/")
	if strings.Trim(prefix, prefixCharacters) != "" {
		return nil, fmt.Errorf("route prefix %q: write letters, digits and -._~ between slashes, as in /exporter", o.RoutePrefix)
	}
	p, err := newPages()
	if err != nil {
		return nil, err
	}
	s := &Server{
		options: o,
		prefix:  prefix,
		history: newHistory(o.HistoryLimit),
		pages:   p,
	}
	s.handler = s.routes()
	return s, nil
}

// prefixCharacters are those that need no escaping in a path (RFC 3986 section
// 2.3), and the slash.
const prefixCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.handler.ServeHTTP(w, r) }

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /probe", s.probe)
	mux.HandleFunc("GET /sd", s.discover)
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Gatherer, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelError),
	}))
	mux.HandleFunc("GET /{$}", s.index)
	mux.HandleFunc("GET /target/{name}", s.target)
	for name, kind := range assets() {
		mux.HandleFunc("GET /"+name, asset(name, kind))
	}
	mux.HandleFunc("GET /logs", s.logs)
	mux.HandleFunc("GET /config", s.config)
	mux.HandleFunc("GET /-/healthy", healthy)
	mux.HandleFunc("GET /-/ready", s.ready)
	mux.HandleFunc("POST /-/reload", s.reload)
	if s.options.Pprof {
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return guard(s.underPrefix(mux))
}

// underPrefix serves the mux below the route prefix, and sends whoever asks for
// the root there.
func (s *Server) underPrefix(mux http.Handler) http.Handler {
	if s.prefix == "" {
		return mux
	}
	outer := http.NewServeMux()
	outer.Handle("GET /{$}", http.RedirectHandler(s.prefix+"/", http.StatusFound))
	outer.Handle(s.prefix+"/", http.StripPrefix(s.prefix, mux))
	return outer
}

// guard sets the headers that every answer carries, bounds how long a slow
// client may take to read one, and refuses paths that are not in clean form
// rather than redirecting them.
func guard(next http.Handler) http.Handler {
	const longestAnswer = 30 * time.Second // a probe moves it, see answerBy
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		if clean := path.Clean(r.URL.Path); clean != r.URL.Path && clean+"/" != r.URL.Path {
			writeError(w, newRequestError(uncleanPath))
			return
		}
		if !strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
			answerBy(w, time.Now().Add(longestAnswer))
		}
		next.ServeHTTP(w, r)
	})
}

// answerBy sets the time by which the client must have taken the answer. Test
// recorders have no connection to set it on.
func answerBy(w http.ResponseWriter, t time.Time) {
	_ = http.NewResponseController(w).SetWriteDeadline(t)
}

func healthy(w http.ResponseWriter, _ *http.Request) { writeText(w, http.StatusOK, "Healthy\n") }

func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	if !s.options.Ready() {
		writeError(w, newRequestError(shuttingDown))
		return
	}
	writeText(w, http.StatusOK, "Ready\n")
}

func (s *Server) reload(w http.ResponseWriter, _ *http.Request) {
	if err := s.options.Reload(); err != nil {
		writeError(w, newRequestError(failedReload, err))
		return
	}
	writeText(w, http.StatusOK, "Reloaded\n")
}

func (s *Server) config(w http.ResponseWriter, _ *http.Request) {
	text, err := s.options.Config.Get().YAML()
	if err != nil {
		s.options.Logger.Error("Failed to render page", "page", "config", "err", err)
		writeError(w, newRequestError(failedPage))
		return
	}
	writeText(w, http.StatusOK, text)
}

func writeText(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body)) //nolint:gosec // text/plain, and nosniff: nothing in it is run
}
