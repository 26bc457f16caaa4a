package server

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/version"
)

//go:embed pages
var pageFiles embed.FS

// pages are what people see.
type pages struct {
	index *template.Template
	css   []byte
}

func newPages() (*pages, error) {
	index, err := template.ParseFS(pageFiles, "pages/index.html")
	if err != nil {
		return nil, fmt.Errorf("reading the status page's template: %w", err)
	}
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		return nil, fmt.Errorf("reading the status page's style: %w", err)
	}
	return &pages{index: index, css: css}, nil
}

func (p *pages) style(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	_, _ = w.Write(p.css)
}

// indexPage is what the status page shows.
type indexPage struct {
	Base    string // our root as the browser reaches it, with a slash at its end
	Version string
	Targets []indexTarget
	Probes  []indexProbe
}

type indexTarget struct {
	Name, Module, Hosts, Owner, Reference string
	Expires                               string // "": never
	Expired                               bool
	Probe                                 string // link that probes it now
	Progress                              string // of a scan under way; "": there is none
}

type indexProbe struct {
	ID             int64
	When           string
	Target, Module string
	Success        bool
	Duration       string
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	page := indexPage{Base: s.base(), Version: version.Info(), Targets: s.indexTargets(time.Now())}
	for _, r := range s.history.all() {
		page.Probes = append(page.Probes, indexProbe{
			ID: r.id, When: stamp(r.when), Target: r.target, Module: r.module,
			Success: r.success, Duration: r.duration.Round(time.Millisecond).String(),
		})
	}
	var b bytes.Buffer
	if err := s.pages.index.Execute(&b, page); err != nil {
		s.options.Logger.Error("The status page could not be made", "err", err)
		text(w, http.StatusInternalServerError, "the status page could not be made\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func (s *Server) indexTargets(now time.Time) []indexTarget {
	progress := make(map[[2]string]string)
	for _, u := range s.options.Scans.UnderWay() {
		progress[[2]string{u.Target, u.Module}] = strconv.Itoa(int(100*u.Progress)) + " %"
	}
	var rows []indexTarget
	for _, t := range s.options.Config.Get().Targets() {
		hosts := make([]string, 0, len(t.Hosts))
		for _, h := range t.Hosts {
			hosts = append(hosts, h.Entry)
		}
		for _, m := range t.Modules {
			row := indexTarget{
				Name: t.Name, Module: m.Name, Hosts: strings.Join(hosts, ", "),
				Owner: t.Authorization.Owner, Reference: t.Authorization.Reference,
				Expired:  t.Authorization.Expired(now),
				Progress: progress[[2]string{t.Name, m.Name}],
				Probe:    s.base() + "probe?" + url.Values{"target": {t.Name}, "module": {m.Name}}.Encode(),
			}
			if !t.Authorization.Expires.IsZero() {
				row.Expires = stamp(t.Authorization.Expires)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// base returns our root as a browser reaches it.
func (s *Server) base() string {
	if e := s.options.ExternalURL; e != nil {
		return strings.TrimSuffix(e.Path, "/") + "/"
	}
	return s.prefix + "/"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }
