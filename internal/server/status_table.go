// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"html/template"
	"slices"
	"time"

	"portscan_exporter/internal/scan"
)

// statusRow is a row of the tables of statuses: a target with one of its modules.
type statusRow struct {
	Status                status
	Note                  string // beside the status
	FilterText            string // "": the table has no filter
	Target, Module, Hosts string
	Owner, Reference      string
	ExpiresIn             string // "": not soon
	Links                 rowLinks
	Scans                 []progress // in progress
	Selected              bool       // the target page shows this module

	Scanned       bool // the fields below are set
	Unexpected    scan.PortSet
	UnexpectedOn  string // number of addresses
	Missing       scan.PortSet
	MissingOn     string
	Open, Unknown int // ports
	Age           timestamp
	Duration      time.Duration // 0: not all addresses were scanned at once
}

// statusColumn is a column of the tables of statuses on both pages.
type statusColumn struct {
	title  literal
	class  literal                // of the head and the cells
	sort   literal                // "number", "text" or "": not sortable
	header bool                   // the cells are row headers
	key    func(*statusRow) int64 // sorts the cells; nil: their text does
	write  func(*htmlBuffer, *statusRow)
	result bool                          // the cells are empty unless the row is scanned
	brief  func(*htmlBuffer, *statusRow) // writes the value below the status, on narrow screens
}

// indexColumns are the columns of the status page.
func indexColumns() []statusColumn {
	return slices.Concat([]statusColumn{
		newStatusColumn(),
		{title: "Target", sort: "text", header: true, write: func(b *htmlBuffer, r *statusRow) {
			b.link(r.Links.Target, r.Target).add(` <small class="narrow">`).text(r.Module).add(`</small>`)
		}},
		newLinksColumn(),
		{title: "Module", sort: "text", class: "wide", write: func(b *htmlBuffer, r *statusRow) { b.text(r.Module) }},
		{title: "Hosts", sort: "text", class: "wide cut", write: func(b *htmlBuffer, r *statusRow) { b.text(r.Hosts) }},
	}, resultColumns(), []statusColumn{
		{title: "Owner", sort: "text", class: "wide cut", write: writeOwner},
	})
}

// moduleColumns are the columns of a target's modules on its page.
func moduleColumns() []statusColumn {
	module := statusColumn{title: "Module", sort: "text", header: true, write: writeModule}
	return append([]statusColumn{newStatusColumn(), module, newLinksColumn()}, resultColumns()...)
}

func newStatusColumn() statusColumn {
	return statusColumn{title: "Status", sort: "number", key: func(r *statusRow) int64 { return int64(r.Status) }, write: writeStatus}
}

func newLinksColumn() statusColumn {
	return statusColumn{title: "Links", class: "links", write: func(b *htmlBuffer, r *statusRow) { b.rowLinks(r.Links) }}
}

// resultColumns are the columns that both pages have of a module's results.
func resultColumns() []statusColumn {
	return []statusColumn{
		{
			title: "Unexpected", sort: "number", class: "wide bad", result: true,
			key:   func(r *statusRow) int64 { return int64(r.Unexpected.Len()) },
			write: func(b *htmlBuffer, r *statusRow) { b.text(formatFirstPorts(r.Unexpected)).small(r.UnexpectedOn) },
			brief: func(b *htmlBuffer, r *statusRow) { b.briefPorts("unexpected", r.Unexpected) },
		},
		{
			title: "Missing", sort: "number", class: "wide bad", result: true,
			key:   func(r *statusRow) int64 { return int64(r.Missing.Len()) },
			write: func(b *htmlBuffer, r *statusRow) { b.text(formatFirstPorts(r.Missing)).small(r.MissingOn) },
			brief: func(b *htmlBuffer, r *statusRow) { b.briefPorts("missing", r.Missing) },
		},
		{title: "Open", sort: "number", class: "wide n", result: true, write: func(b *htmlBuffer, r *statusRow) { b.text(formatNumber(r.Open)) }},
		{title: "Unknown", sort: "number", class: "wide n", result: true, write: func(b *htmlBuffer, r *statusRow) { b.text(formatNumber(r.Unknown)) }},
		{
			title: "Age", sort: "number", class: "wide n", result: true,
			key:   func(r *statusRow) int64 { return r.Age.Seconds },
			write: func(b *htmlBuffer, r *statusRow) { b.timestamp(r.Age) },
			brief: func(b *htmlBuffer, r *statusRow) { b.add(`<span class="narrow">`).text(r.Age.Ago).add(` ago</span>`) },
		},
		{
			title: "Duration", sort: "number", class: "wide n", result: true,
			key: func(r *statusRow) int64 { return r.Duration.Microseconds() },
			write: func(b *htmlBuffer, r *statusRow) {
				if r.Duration > 0 {
					b.text(formatDuration(r.Duration))
				}
			},
		},
	}
}

func writeStatus(b *htmlBuffer, r *statusRow) { b.badge(r.Status).small(r.Note) }

func writeModule(b *htmlBuffer, r *statusRow) {
	if r.Selected {
		b.add(`<strong>`).text(r.Module).add(`</strong>`)
		return
	}
	b.link(r.Links.Target, r.Module)
}

func writeOwner(b *htmlBuffer, r *statusRow) {
	b.text(r.Owner).small(r.Reference)
	if r.ExpiresIn != "" {
		b.add(` <small class="bad">expires in `).text(r.ExpiresIn).add(`</small>`)
	}
}

// rowSize is the estimated size of a row in bytes.
const rowSize = 1 << 10

// statusTable returns the head and the rows of a table of statuses. Templates
// take ten times as long, and there may be thousands of rows.
func statusTable(columns []statusColumn, rows []*statusRow) (head, body template.HTML) {
	var h, b htmlBuffer
	for _, c := range columns {
		h.add(`<th scope="col"`).attribute("data-sort", c.sort).attribute("class", c.class).add(`>`, c.title, `</th>`)
	}
	b.html.Grow(rowSize * len(rows))
	for _, r := range rows {
		b.add(`<tr class="`).text(r.Status.Key()).add(`"`)
		if r.FilterText != "" {
			b.add(` data-f="`).text(r.FilterText).add(`"`)
		}
		b.add(`>`)
		for i := range columns {
			b.statusCell(columns, i, r)
		}
		b.add("</tr>\n")
	}
	return h.build(), b.build()
}

func (b *htmlBuffer) statusCell(columns []statusColumn, i int, r *statusRow) {
	c, tag := &columns[i], literal("td")
	if c.header {
		tag = "th"
	}
	b.add(`<`, tag)
	if c.header {
		b.add(` scope="row"`)
	}
	filled := !c.result || r.Scanned
	if c.key != nil && filled {
		b.add(` data-v="`).number(c.key(r)).add(`"`)
	}
	b.attribute("class", c.class).add(`>`)
	if filled {
		c.write(b, r)
	}
	if i == 0 {
		b.statusDetails(columns, r)
	}
	b.add(`</`, tag, `>`)
}

// statusDetails writes the details below the status: ports and age on narrow
// screens, and scans in progress.
func (b *htmlBuffer) statusDetails(columns []statusColumn, r *statusRow) {
	for i := range columns {
		if brief := columns[i].brief; brief != nil && r.Scanned {
			brief(b, r)
		}
	}
	for _, p := range r.Scans {
		b.add(` `).progress(p)
	}
}

// briefPorts writes ports with a label below the status, on narrow screens.
func (b *htmlBuffer) briefPorts(label literal, ports scan.PortSet) {
	if !ports.IsEmpty() {
		b.add(`<span class="narrow bad">`, label, `: `).text(formatFirstPorts(ports)).add(`</span>`)
	}
}
