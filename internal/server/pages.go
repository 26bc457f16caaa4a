package server

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/prometheus/common/version"
)

//go:embed pages
var pageFiles embed.FS

// pages are what people see.
type pages struct {
	index, target *template.Template
}

func newPages() (*pages, error) {
	p := &pages{}
	for name, into := range map[string]**template.Template{"index.html": &p.index, "target.html": &p.target} {
		t, err := template.New(name).ParseFS(pageFiles, "pages/layout.html", "pages/"+name)
		if err != nil {
			return nil, fmt.Errorf("reading the template of a page: %w", err)
		}
		*into = t
	}
	return p, nil
}

// assets are what pages take beside them, by path, with their types.
func assets() map[string]string {
	return map[string]string{
		"style.css": "text/css; charset=utf-8",
		"script.js": "text/javascript; charset=utf-8",
		"icon.svg":  "image/svg+xml",
	}
}

// asset answers with a file that pages take beside them.
func asset(name, kind string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", kind)
		http.ServeFileFS(w, r, pageFiles, "pages/"+name)
	}
}

// frame is what every page has around its content.
type frame struct {
	Base    string // our root as the browser reaches it, with a slash at its end
	Title   string
	Version string
}

func (s *Server) frame(title string) frame {
	return frame{Base: s.base(), Title: title, Version: strings.TrimSpace("portscan_exporter " + version.Version)}
}

// pagePolicy lets pages have what they take beside them, and nothing else.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// page answers with a page, of some size.
func (s *Server) page(w http.ResponseWriter, t *template.Template, content any, size int) {
	var b bytes.Buffer
	b.Grow(size)
	if err := t.Execute(&b, content); err != nil {
		s.options.Logger.Error("Failed to render page", "page", t.Name(), "err", err)
		writeError(w, newRequestError(failedPage))
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Cache-Control", "no-store") // so that who comes back from a probe sees what it has shown
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

// base returns our root as a browser reaches it.
func (s *Server) base() string {
	if e := s.options.ExternalURL; e != nil {
		return strings.TrimSuffix(e.Path, "/") + "/"
	}
	return s.prefix + "/"
}
