// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"html/template"
	"strconv"
	"strings"
)

// literal is HTML in this program's source. Other strings need a conversion to
// become one.
type literal string

// htmlBuffer builds HTML from literals and escaped texts.
type htmlBuffer struct{ html strings.Builder }

// add appends literals.
func (b *htmlBuffer) add(parts ...literal) *htmlBuffer {
	for _, p := range parts {
		b.html.WriteString(string(p))
	}
	return b
}

// text appends a text, escaped for elements and quoted attributes.
func (b *htmlBuffer) text(s string) *htmlBuffer {
	if strings.ContainsAny(s, "<>&'\"\x00") {
		s = template.HTMLEscapeString(s)
	}
	b.html.WriteString(s)
	return b
}

func (b *htmlBuffer) number(n int64) *htmlBuffer {
	b.html.WriteString(strconv.FormatInt(n, 10))
	return b
}

// attribute appends an attribute unless its value is empty.
func (b *htmlBuffer) attribute(name, value literal) *htmlBuffer {
	if value == "" {
		return b
	}
	return b.add(` `, name, `="`, value, `"`)
}

// small appends a text in small letters unless it is empty.
func (b *htmlBuffer) small(s string) {
	if s != "" {
		b.add(` <small>`).text(s).add(`</small>`)
	}
}

func (b *htmlBuffer) link(url, text string) *htmlBuffer {
	return b.add(`<a href="`).text(url).add(`">`).text(text).add(`</a>`)
}

// build returns the HTML.
func (b *htmlBuffer) build() template.HTML {
	return template.HTML(b.html.String()) //nolint:gosec // literals and escaped texts only
}

// Badge returns the status as HTML: a symbol, a color and a text.
func (s status) Badge() template.HTML { return new(htmlBuffer).badge(s).build() }

func (b *htmlBuffer) badge(s status) *htmlBuffer {
	b.add(`<span class="v `).text(s.Key()).add(`"><svg aria-hidden="true"><use href="#v-`).text(s.Key())
	return b.add(`"/></svg>`).text(s.String()).add(`</span>`)
}

// HTML returns the age, with the exact time as a tooltip.
func (t timestamp) HTML() template.HTML { return new(htmlBuffer).timestamp(t).build() }

func (b *htmlBuffer) timestamp(t timestamp) *htmlBuffer {
	return b.add(`<time datetime="`).text(t.Machine).add(`" title="`).text(t.Exact).add(`">`).text(t.Ago).add(`</time>`)
}

// rowLinks are the links of a target and module.
type rowLinks struct {
	Target string
	Probe  string // "": the probe would be refused
	Debug  string
	Log    string // of the last probe; "": none is kept
}

func (b *htmlBuffer) rowLinks(l rowLinks) {
	if l.Probe != "" {
		b.link(l.Probe, "probe").add(` <a class="wide" href="`).text(l.Debug).add(`">debug</a>`)
	}
	if l.Log != "" {
		b.add(` `).link(l.Log, "log")
	}
}

// progress is a scan in progress.
type progress struct {
	Module  string
	Percent int
	Since   timestamp
}

// HTML returns the progress as a bar and a number.
func (p progress) HTML() template.HTML { return new(htmlBuffer).progress(p).build() }

func (b *htmlBuffer) progress(p progress) *htmlBuffer {
	b.add(`<span class="progress"><progress max="100" value="`).number(int64(p.Percent)).add(`" aria-label="Scan in progress">`)
	return b.number(int64(p.Percent)).add(` %</progress> `).number(int64(p.Percent)).add(` %</span>`)
}
