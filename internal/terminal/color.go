// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package terminal

import (
	"io"
	"os"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"

	"portscan_exporter/internal/scan"
)

// tone is the meaning of a color. The column EXPECTED has the same in words.
type tone int

const (
	plain  tone = iota
	good        // open, as expected
	bad         // not as expected
	unsure      // unknown, or expected to be open and silent
)

func toneOf(s scan.State, e scan.Expected) tone {
	switch {
	case e.ViolatedBy(s):
		return bad
	case s == scan.Unknown, s == scan.OpenFiltered && e == scan.ExpectOpen:
		return unsure
	case s == scan.Open && e == scan.ExpectOpen:
		return good
	default:
		return plain
	}
}

// palette maps tones to colors. A nil palette has none.
type palette map[tone]*color.Color

func newPalette(on bool) palette {
	if !on {
		return nil
	}
	p := palette{good: color.New(color.FgGreen), bad: color.New(color.FgRed, color.Bold), unsure: color.New(color.FgYellow)}
	for _, c := range p {
		c.EnableColor() // overrides the library's own detection
	}
	return p
}

func (p palette) colorize(t tone, text string) string {
	c, ok := p[t]
	if !ok {
		return text
	}
	return c.Sprint(text)
}

// Colorful reports whether w is a terminal that supports colors and NO_COLOR is unset
// (https://no-color.org).
func Colorful(w io.Writer) bool { return isTerminal(w) && os.Getenv("NO_COLOR") == "" }

// isTerminal reports whether w is a terminal with cursor control.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}
