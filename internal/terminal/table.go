// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/service"
)

// columns of the table.
const columns = 7

// tableRow is a line of the table.
type tableRow struct {
	cells [columns]string
	tone  tone // of the state
}

func headerRow() tableRow {
	return tableRow{cells: [columns]string{"ADDRESS", "PORT", "PROTOCOL", "STATE", "EXPECTED", "RESPONSE", "SERVICE"}}
}

// stateColumn is the colored column.
const stateColumn = 3

// writeTable writes the listed ports and the notes. It makes the rows twice, for the
// widths and for the output, because there may be millions.
func (r Report) writeTable(w io.Writer) error {
	names := service.New()
	var widths [columns]int
	for row := range r.rows(names) {
		for i, cell := range row.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	colors := newPalette(r.Color)
	for row := range r.rows(names) {
		if _, err := io.WriteString(w, row.format(widths, colors)); err != nil {
			return err
		}
	}
	for _, note := range slices.Concat(r.hiddenNotes(), r.icmpNotes(), r.Notes()) {
		if _, err := fmt.Fprintln(w, printable.Escape(note)); err != nil {
			return err
		}
	}
	return nil
}

// format returns the line of a row. Columns are aligned by runes: colors take no space,
// and the µ of µs takes one cell.
func (r tableRow) format(widths [columns]int, p palette) string {
	const gap = 2
	var b strings.Builder
	for i, cell := range r.cells {
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
		if i == stateColumn {
			cell = p.colorize(r.tone, cell)
		}
		b.WriteString(cell)
		if i < columns-1 {
			b.WriteString(fill)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func (r Report) rows(names service.Names) iter.Seq[tableRow] {
	return func(yield func(tableRow) bool) {
		if !yield(headerRow()) {
			return
		}
		for i := range r.Result.Addresses {
			for p := range r.Result.Addresses[i].All() {
				if r.lists(p) && !yield(r.portRow(p, names)) {
					return
				}
			}
		}
	}
}

func (r Report) portRow(p scan.PortResult, names service.Names) tableRow {
	protocol, expected := r.Result.Plan.Spec().Protocol, r.Result.Plan.Expected(p.Port)
	response := ""
	if p.RTT > 0 {
		response = p.RTT.Round(time.Microsecond).String()
	}
	return tableRow{
		cells: [columns]string{
			p.Address.String(), strconv.Itoa(int(p.Port)), protocol.String(),
			displayState(p.State), expected.String(), orDash(response), orDash(names.Lookup(protocol, p.Port)),
		},
		tone: toneOf(p.State, expected),
	}
}

func orDash(cell string) string {
	if cell == "" {
		return "-"
	}
	return cell
}

// displayState returns a state in capitals: OPEN|FILTERED for open_filtered.
func displayState(s scan.State) string {
	return strings.ToUpper(strings.ReplaceAll(s.String(), "_", "|"))
}

// hiddenNotes counts the ports without a row, by address.
func (r Report) hiddenNotes() (notes []string) {
	for i := range r.Result.Addresses {
		a := &r.Result.Addresses[i]
		hidden := make(map[scan.State]int)
		for p := range a.All() {
			if !r.lists(p) {
				hidden[p.State]++
			}
		}
		var counts []string
		for _, s := range scan.States() {
			if n := hidden[s]; n > 0 {
				counts = append(counts, fmt.Sprintf("%d %v", n, s))
			}
		}
		if len(counts) > 0 {
			notes = append(notes, fmt.Sprintf(noteHidden, a.IP, strings.Join(counts, ", ")))
		}
	}
	return notes
}
