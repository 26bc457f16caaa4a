// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

// Screen is a terminal that a progress bar and the log share. Lines written to it appear
// above the bar. It may be used concurrently.
type Screen struct {
	w    io.Writer
	mu   sync.Mutex
	bars *mpb.Progress // nil while no bar is drawn
}

// NewScreen returns a screen. It never draws a bar if w is not a terminal.
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

// Show draws a progress bar until the returned function is called, which erases it. The
// bar shows the name and the time left until the deadline.
func (s *Screen) Show(name string, t *Tally, deadline time.Time) (hide func()) {
	if !isTerminal(s.w) {
		return func() {}
	}
	return s.show(name, t, deadline)
}

func (s *Screen) show(name string, t *Tally, deadline time.Time, options ...mpb.ContainerOption) (hide func()) {
	const delay = 300 * time.Millisecond // a short scan draws no bar
	over := make(chan struct{})
	var drawing sync.WaitGroup
	drawing.Go(func() {
		select {
		case <-over:
		case <-time.After(delay):
			s.draw(name, t, deadline, over, options)
		}
	})
	return func() {
		close(over)
		drawing.Wait()
	}
}

// draw draws the bar until the scan has ended.
func (s *Screen) draw(name string, t *Tally, deadline time.Time, over <-chan struct{}, options []mpb.ContainerOption) {
	const refresh = 150 * time.Millisecond
	bars := mpb.New(append(options, mpb.WithConsoleWriter(console(s.w)), mpb.WithRefreshRate(refresh))...)
	bar := bars.AddBar(0,
		mpb.BarFillerTrim(), // the decorators have the blanks, also if the bar does not fit
		mpb.PrependDecorators(decor.Name(name+" ")),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string {
			return " " + t.status(time.Now(), deadline)
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
			bar.SetTotal(t.total.Load(), false)
			bar.SetCurrent(t.doneCount())
			continue
		case <-over:
		}
		break
	}
	s.mu.Lock() // a line written now would be drawn into the bar
	defer s.mu.Unlock()
	bar.Abort(true)
	bars.Wait()
	s.bars = nil
}

// console returns the writer that draws on a terminal.
func console(w io.Writer) *cupwriter.Writer {
	c := cupwriter.New(marginWriter{w}, false)
	if f, ok := w.(*os.File); ok {
		c.SetTermFd(int(f.Fd()))
	}
	return c
}

// marginWriter returns the cursor to the left margin before it writes: the terminal
// echoes typed characters, for example the ^C of Ctrl-C.
type marginWriter struct{ w io.Writer }

// Write implements [io.Writer].
func (m marginWriter) Write(p []byte) (int, error) {
	n, err := m.w.Write(append([]byte("\r"), p...))
	return max(0, n-1), err
}

// status returns the counts, the rate and the time left.
func (t *Tally) status(now, deadline time.Time) string {
	started := t.started.Load()
	if started == nil {
		return "resolving names"
	}
	total, done, open := t.total.Load(), t.doneCount(), t.open.Load()
	rate := float64(done) / max(now.Sub(*started), time.Millisecond).Seconds()
	return fmt.Sprintf("%d of %d ports, %d open, %.0f/s, %s", done, total, open, rate, timeLeft(float64(total-done), rate, deadline.Sub(now)))
}

// timeLeft estimates the time left by the rate, limited by the deadline.
func timeLeft(ports, rate float64, limit time.Duration) string {
	limit = max(0, limit)
	if rate > 0 && ports/rate < limit.Seconds() {
		left := time.Duration(ports / rate * float64(time.Second))
		return left.Round(time.Second).String() + " left"
	}
	return "at most " + limit.Round(time.Second).String() + " left"
}
