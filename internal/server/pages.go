// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/common/version"

	"portscan_exporter/internal/printable"
)

//go:embed pages
var pageFiles embed.FS

// pages are the templates of the status pages and the files that they load.
type pages struct {
	index, target *template.Template
	assets        map[string]asset // by name
}

func newPages() (*pages, error) {
	p := &pages{assets: make(map[string]asset)}
	for name, into := range map[string]**template.Template{"index.html": &p.index, "target.html": &p.target} {
		t, err := template.New(name).ParseFS(pageFiles, "pages/layout.html", "pages/"+name)
		if err != nil {
			return nil, fmt.Errorf("parsing page template: %w", err)
		}
		*into = t
	}
	for name, contentType := range assetTypes() {
		content, err := pageFiles.ReadFile("pages/" + name)
		if err != nil {
			return nil, fmt.Errorf("reading page file: %w", err)
		}
		p.assets[name] = asset{contentType, content, fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(content)))}
	}
	return p, nil
}

// assetTypes returns the content types of the files that pages load, by name.
func assetTypes() map[string]string {
	return map[string]string{
		"style.css": "text/css; charset=utf-8",
		"script.js": "text/javascript; charset=utf-8",
		"icon.svg":  "image/svg+xml",
	}
}

// asset is a file that pages load.
type asset struct {
	contentType string
	content     []byte
	tag         string // changes with the content
}

// handle answers with the file. Browsers cache it, but ask each time whether it has changed:
// after an upgrade it has the same name.
func (a asset) handle(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-cache")
	h.Set("Etag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}

// pageFrame is the header and the footer of a page.
type pageFrame struct {
	Base    string // root path of the exporter in the browser, with a slash at its end
	Title   string
	Version string
}

func (s *Server) newPageFrame(title string) pageFrame {
	return pageFrame{Base: s.basePath(), Title: title, Version: strings.TrimSpace("portscan_exporter " + version.Version)}
}

// pagePolicy allows pages to load only their own assets.
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'"

// writePage renders a page; size is an estimate in bytes.
func (s *Server) writePage(w http.ResponseWriter, t *template.Template, content any, size int) {
	var b bytes.Buffer
	b.Grow(size)
	if err := t.Execute(&b, content); err != nil {
		s.options.Logger.Error("Failed to render page", "page", t.Name(), "err", err)
		writeError(w, newRequestError(failedPage))
		return
	}
	h := w.Header()
	h.Set("Content-Security-Policy", pagePolicy)
	h.Set("Content-Type", "text/html; charset=utf-8")
	_, _ = printable.NewWriter(w).Write(b.Bytes()) // templates escape only the syntax of HTML
}

// basePath returns the root path of the exporter in a browser, with a slash at
// its end.
func (s *Server) basePath() string {
	if e := s.options.ExternalURL; e != nil {
		return strings.TrimSuffix(e.Path, "/") + "/"
	}
	return s.prefix + "/"
}
