package terminal

import (
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/service"
)

// columns of the table.
const columns = 7

// row is a line of the table.
type row struct {
	cells [columns]string
	tone  tone // of the state
}

func header() row {
	return row{cells: [columns]string{"ADDRESS", "PORT", "PROTOCOL", "STATE", "EXPECTED", "RESPONSE", "SERVICE"}}
}

// stateColumn is the one that has a color.
const stateColumn = 3

// writeTable writes the ports, and below them what there is to say of the others.
// The rows are made twice, for their widths and to be written: there may be millions.
func (r Report) writeTable(w io.Writer) error {
	names := service.New()
	var widths [columns]int
	for row := range r.rows(names) {
		for i, cell := range row.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	paint := newPalette(r.Color)
	for row := range r.rows(names) {
		if _, err := io.WriteString(w, row.text(widths, paint)); err != nil {
			return err
		}
	}
	for _, note := range append(r.rest(), r.Notes()...) {
		if _, err := fmt.Fprintln(w, note); err != nil {
			return err
		}
	}
	return nil
}

// text writes a row. Its cells have letters that take one place, such as those of µs,
// and colors take none.
func (r row) text(widths [columns]int, p palette) string {
	const gap = 2
	var b strings.Builder
	for i, cell := range r.cells {
		fill := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+gap)
		if i == stateColumn {
			cell = p.paint(r.tone, cell)
		}
		b.WriteString(cell)
		if i < columns-1 {
			b.WriteString(fill)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

func (r Report) rows(names service.Names) iter.Seq[row] {
	return func(yield func(row) bool) {
		if !yield(header()) {
			return
		}
		for i := range r.Result.Addresses {
			for p := range r.Result.Addresses[i].All() {
				if r.shows(p) && !yield(r.row(p, names)) {
					return
				}
			}
		}
	}
}

func (r Report) row(p scan.PortResult, names service.Names) row {
	protocol, expected := r.Result.Plan.Spec().Protocol, r.Result.Plan.Expected(p.Port)
	response := ""
	if p.RTT > 0 {
		response = p.RTT.Round(time.Microsecond).String()
	}
	return row{
		cells: [columns]string{
			p.Address.String(), strconv.Itoa(int(p.Port)), protocol.String(),
			shout(p.State), expected.String(), orDash(response), orDash(names.Of(protocol, p.Port)),
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

// shout writes a state as the table does: OPEN|FILTERED for open_filtered.
func shout(s scan.State) string {
	return strings.ToUpper(strings.ReplaceAll(s.String(), "_", "|"))
}

// rest counts what the table leaves out, address by address.
func (r Report) rest() (notes []string) {
	for i := range r.Result.Addresses {
		a := &r.Result.Addresses[i]
		hidden := make(map[scan.State]int)
		for p := range a.All() {
			if !r.shows(p) {
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
