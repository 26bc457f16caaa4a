package terminal

import (
	"io"
	"os"

	"github.com/fatih/color"
	"github.com/mattn/go-isatty"

	"portscan_exporter/internal/scan"
)

// tone is what a color says, which EXPECTED beside it says in words.
type tone int

const (
	plain  tone = iota
	good        // as it must be
	bad         // not as expected
	unsure      // it must be open, and that is not known; or nothing at all is known
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

// palette paints, or does not.
type palette map[tone]*color.Color

func newPalette(on bool) palette {
	if !on {
		return nil
	}
	p := palette{good: color.New(color.FgGreen), bad: color.New(color.FgRed, color.Bold), unsure: color.New(color.FgYellow)}
	for _, c := range p {
		c.EnableColor() // where the library would not: who makes a palette has decided
	}
	return p
}

func (p palette) paint(t tone, text string) string {
	c, ok := p[t]
	if !ok {
		return text
	}
	return c.Sprint(text)
}

// Colorful tells whether what is written to w may have colors: it is a terminal that
// knows them, and nobody has asked for none (https://no-color.org).
func Colorful(w io.Writer) bool { return isScreen(w) && os.Getenv("NO_COLOR") == "" }

// isScreen tells whether w is a terminal on which what was written can be changed.
func isScreen(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	return isatty.IsTerminal(f.Fd()) || isatty.IsCygwinTerminal(f.Fd())
}
