package terminal

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/cupwriter"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// Screen is where a progress bar and the log share a terminal. What is written to it
// appears above the bar, as whole lines. It may be used concurrently.
type Screen struct {
	w    io.Writer
	mu   sync.Mutex
	bars *mpb.Progress // nil: none is drawn
}

// NewScreen returns a screen. Where w is no terminal, no bar is ever drawn.
func NewScreen(w io.Writer) *Screen { return &Screen{w: w} }

// Write implements [io.Writer].
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bars != nil {
		if n, err := s.bars.Write(p); err == nil {
			return n, nil
		}
	}
	return s.w.Write(p)
}

// Show draws how far a scan is, until the returned function is called, which leaves
// nothing of it. name is what is scanned, and deadline when the scan ends in any case.
func (s *Screen) Show(name string, t *Tally, deadline time.Time) (hide func()) {
	if !isScreen(s.w) {
		return func() {}
	}
	return s.show(name, t, deadline)
}

func (s *Screen) show(name string, t *Tally, deadline time.Time, options ...mpb.ContainerOption) (hide func()) {
	const patience = 300 * time.Millisecond // a bar that is gone at once is a nuisance
	over := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		select {
		case <-over:
		case <-time.After(patience):
			s.draw(name, t, deadline, over, options)
		}
	})
	return func() {
		close(over)
		drawing.Wait()
	}
}

// draw draws the bar until the scan is over.
func (s *Screen) draw(name string, t *Tally, deadline time.Time, over <-chan struct{}, options []mpb.ContainerOption) {
	const refresh = 150 * time.Millisecond
	bars := mpb.New(append(options, mpb.WithConsoleWriter(console(s.w)), mpb.WithRefreshRate(refresh))...)
	bar := bars.AddBar(0,
		mpb.BarFillerTrim(), // the blanks around it are ours, and there where it has no room
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return " " + t.line(time.Now(), deadline)
		})),
	)
	s.mu.Lock()
	s.bars = bars
	s.mu.Unlock()
	ticker := time.NewTicker(refresh)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			bar.SetTotal(t.all.Load(), false)
			bar.SetCurrent(t.done.Load())
			continue
		case <-over:
		}
		break
	}
	s.mu.Lock() // until the bar is gone, a line would be drawn into it
	defer s.mu.Unlock()
	bar.Abort(true)
	bars.Wait()
	s.bars = nil
}

// console returns what draws on a terminal.
func console(w io.Writer) *cupwriter.Writer {
	c := cupwriter.New(fromMargin{w}, false)
	if f, ok := w.(*os.File); ok {
		c.SetTermFd(int(f.Fd()))
	}
	return c
}

// fromMargin begins at the left margin, whatever was typed meanwhile: a terminal
// echoes that, the ^C of Ctrl-C too.
type fromMargin struct{ w io.Writer }

// Write implements [io.Writer].
func (m fromMargin) Write(p []byte) (int, error) {
	n, err := m.w.Write(append([]byte("\r"), p...))
	return max(0, n-1), err
}

// line says what the bar can't show.
func (t *Tally) line(now, deadline time.Time) string {
	begun := t.begun.Load()
	if begun == nil {
		return "looking up names"
	}
	all, done, open := t.all.Load(), t.done.Load(), t.open.Load()
	rate := float64(done) / max(now.Sub(*begun), time.Millisecond).Seconds()
	return fmt.Sprintf("%d of %d ports, %d open, %.0f/s, %s", done, all, open, rate, timeLeft(float64(all-done), rate, deadline.Sub(now)))
}

// timeLeft is by the rate so far, or no more than there is.
func timeLeft(ports, rate float64, most time.Duration) string {
	most = max(0, most)
	if rate > 0 && ports/rate < most.Seconds() {
		left := time.Duration(ports / rate * float64(time.Second))
		return left.Round(time.Second).String() + " left"
	}
	return "at most " + most.Round(time.Second).String() + " left"
}
