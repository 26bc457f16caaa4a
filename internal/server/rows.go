package server

import (
	"html/template"
	"strconv"
	"strings"
)

// Rows of the status page are not written by the template: it takes ten times as long, and
// there may be thousands of them. Nothing gets into them but through markup.

// literal is markup that is written in this program. A text from elsewhere has another
// type, and needs a conversion to become one.
type literal string

// markup is HTML in the making.
type markup struct{ b strings.Builder }

// add appends what is written in this program.
func (m *markup) add(parts ...literal) *markup {
	for _, p := range parts {
		m.b.WriteString(string(p))
	}
	return m
}

// text appends a text from elsewhere, between tags or in the quotes of an attribute.
func (m *markup) text(s string) *markup {
	if strings.ContainsAny(s, "<>&'\"\x00") {
		s = template.HTMLEscapeString(s)
	}
	m.b.WriteString(s)
	return m
}

func (m *markup) number(n int64) *markup {
	m.b.WriteString(strconv.FormatInt(n, 10))
	return m
}

// html returns what was made.
func (m *markup) html() template.HTML {
	return template.HTML(m.b.String()) //nolint:gosec // it consists of literals, and of texts that were escaped
}

// Badge is the verdict as pages show it: a mark, a colour and a word.
func (v verdict) Badge() template.HTML { return new(markup).verdict(v).html() }

func (m *markup) verdict(v verdict) *markup {
	m.add(`<span class="v `).text(v.Key()).add(`"><svg aria-hidden="true"><use href="#v-`).text(v.Key())
	return m.add(`"/></svg>`).text(v.String()).add(`</span>`)
}

// HTML is the moment as pages show it: how long ago, with the exact time in a tip.
func (t moment) HTML() template.HTML { return new(markup).time(t).html() }

func (m *markup) time(t moment) *markup {
	return m.add(`<time datetime="`).text(t.Machine).add(`" title="`).text(t.Exact).add(`">`).text(t.Ago).add(`</time>`)
}

// HTML is the links as pages show them. Their targets begin with our own root.
func (l links) HTML() template.HTML { return new(markup).links(l).html() }

func (m *markup) links(l links) *markup {
	if l.Probe != "" {
		m.add(`<a href="`).text(l.Probe).add(`">probe</a> <a class="wide" href="`).text(l.Debug).add(`">debug</a>`)
	}
	if l.Log != "" {
		m.add(` <a href="`).text(l.Log).add(`">log</a>`)
	}
	return m
}

// HTML is the progress as pages show it.
func (p progress) HTML() template.HTML { return new(markup).progress(p).html() }

func (m *markup) progress(p progress) *markup {
	m.add(`<span class="progress"><progress max="100" value="`).number(int64(p.Percent)).add(`" aria-label="Scan in progress">`)
	return m.number(int64(p.Percent)).add(` %</progress> `).number(int64(p.Percent)).add(` %</span>`)
}

// row is a target and one of its modules on the status page. Its cells go with the
// head of the table in index.html.
func (m *markup) row(r *row) {
	m.add(`<tr class="`).text(r.Verdict.Key()).add(`" data-f="`).text(r.Words).add(`"><td data-v="`).number(int64(r.Verdict)).add(`">`).verdict(r.Verdict)
	m.small(r.Note)
	if r.Seen {
		m.brief(r)
	}
	for _, p := range r.Progress {
		m.add(` `).progress(p)
	}
	m.add(`</td><th scope="row"><a href="`).text(r.Links.Target).add(`">`).text(r.Name).add(`</a> <small class="narrow">`).text(r.Module)
	m.add(`</small></th><td class="links">`).links(r.Links)
	m.add(`</td><td class="wide">`).text(r.Module).add(`</td><td class="wide cut">`).text(r.Hosts).add(`</td>`)
	if r.Seen {
		m.figures(r)
	} else {
		m.add(`<td class="wide"></td><td class="wide"></td><td class="wide"></td><td class="wide"></td><td class="wide"></td><td class="wide"></td>`)
	}
	m.add(`<td class="wide cut">`).text(r.Owner)
	m.small(r.Reference)
	if r.Ends != "" {
		m.add(` <small class="bad">expires in `).text(r.Ends).add(`</small>`)
	}
	m.add("</td></tr>\n")
}

// brief says on a narrow screen, which has no room for most columns, why the verdict is as
// it is, and how old.
func (m *markup) brief(r *row) {
	if r.Unexpected != "" {
		m.add(`<span class="narrow bad">unexpected: `).text(r.Unexpected).add(`</span>`)
	}
	if r.Missing != "" {
		m.add(`<span class="narrow bad">missing: `).text(r.Missing).add(`</span>`)
	}
	m.add(`<span class="narrow">`).text(r.Age.Ago).add(` ago</span>`)
}

// figures are the cells that are there when something was seen.
func (m *markup) figures(r *row) {
	m.add(`<td data-v="`).number(int64(r.NUnexpected)).add(`" class="bad wide">`).text(r.Unexpected)
	m.small(r.UnexpectedOn)
	m.add(`</td><td data-v="`).number(int64(r.NMissing)).add(`" class="bad wide">`).text(r.Missing)
	m.small(r.MissingOn)
	m.add(`</td><td class="wide n">`).text(r.Open).add(`</td><td class="wide n">`).text(r.Unknown)
	m.add(`</td><td data-v="`).number(r.Age.Seconds).add(`" class="wide n">`).time(r.Age)
	m.add(`</td><td data-v="`).number(r.TookUnix).add(`" class="wide n">`).text(r.Took).add(`</td>`)
}

// small appends a remark, if there is one.
func (m *markup) small(s string) {
	if s != "" {
		m.add(` <small>`).text(s).add(`</small>`)
	}
}
