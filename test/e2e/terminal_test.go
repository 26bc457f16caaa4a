// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// terminal is a terminal in tmux, in which a test types and reads the screen.
type terminal struct {
	path, socket string
}

// newTerminal opens a terminal with a shell.
func newTerminal(t *testing.T, width, height int, env ...string) *terminal {
	t.Helper()
	s := &terminal{path: needProgram(t, "tmux"), socket: filepath.Join(t.TempDir(), "s")}
	shell := append([]string{"env", "-u", "NO_COLOR", "PS1=$ ", "GORACE=atexit_sleep_ms=0"}, env...)
	args := []string{"-f", "/dev/null", "new-session", "-d", "-x", strconv.Itoa(width), "-y", strconv.Itoa(height)}
	s.run(t, append(append(args, shell...), needProgram(t, "bash"), "--norc", "--noprofile")...)
	t.Cleanup(func() { _ = exec.Command(s.path, "-S", s.socket, "kill-server").Run() })
	s.awaitLine(t, `^\$`) // text typed before the prompt would be echoed twice
	return s
}

func (tm *terminal) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), tm.path, append([]string{"-S", tm.socket}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("tmux %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// typeLine types a line and presses Enter.
func (tm *terminal) typeLine(t *testing.T, line string) {
	t.Helper()
	tm.run(t, "send-keys", "-l", line)
	tm.run(t, "send-keys", "Enter")
}

// captureScreen returns the screen without trailing blank lines.
func (tm *terminal) captureScreen(t *testing.T) string {
	t.Helper()
	return strings.TrimRight(tm.run(t, "capture-pane", "-p"), "\n")
}

// awaitLine waits for a line that matches the pattern and returns the match.
func (tm *terminal) awaitLine(t *testing.T, pattern string) string {
	t.Helper()
	line := regexp.MustCompile("(?m)" + pattern)
	eventually(t, 30*time.Second, pattern+" is on the screen", func() error {
		if text := tm.captureScreen(t); !line.MatchString(text) {
			return errors.New("screen:\n" + text)
		}
		return nil
	})
	return line.FindString(tm.captureScreen(t))
}

// progressBar matches the progress bar.
const progressBar = `^own .*\d+ of 1001 ports, \d+ open, \d+/s, .*\d+s left`

// TestScanInterruptedInTerminal presses Ctrl-C during a scan with a progress bar.
func TestScanInterruptedInTerminal(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	config := minuteConfig(t, s)
	tm := newTerminal(t, 100, 30, "TERM=screen-256color")
	tm.typeLine(t, fmt.Sprintf("%s --config.file=%s scan own; echo status=$?", binary(t), config))
	first := tm.awaitLine(t, progressBar)
	tm.awaitLine(t, strings.Replace(progressBar, `\d+ open`, `[1-9]\d* open`, 1))
	if !strings.Contains(first, "[") || !strings.Contains(first, ">") && !strings.Contains(first, "-") {
		t.Errorf("no progress bar in %q", first)
	}
	tm.run(t, "send-keys", "C-c")
	tm.awaitLine(t, `^status=2$`)
	text := tm.captureScreen(t)
	t.Logf("screen:\n%s", text)
	if !regexp.MustCompile(`(?s)^\$ [^\n]*\n([^\n]*status=\$\?\n)?ADDRESS `).MatchString(text) || strings.Contains(text, "1001 ports") {
		t.Errorf("the progress bar was not removed:\n%s", text)
	}
	for _, want := range []string{
		fmt.Sprintf(`(?m)^127\.0\.0\.1 +%d +tcp +OPEN +open +\S+ +-$`, s.listening),
		`(?m)^scan incomplete \(canceled\): interrupted$`,
	} {
		if !regexp.MustCompile(want).MatchString(tm.run(t, "capture-pane", "-p", "-S", "-")) {
			t.Errorf("no match for %s in:\n%s", want, truncate(text))
		}
	}
}

// TestScanColors checks that colors are used only in terminals that support them.
func TestScanColors(t *testing.T) {
	t.Parallel()
	s := newTestPorts(t)
	listenLocal(t, s.listening)
	config := scanConfig(t, s, fmt.Sprintf(`{open: "%d,%d"}`, s.listening, s.free))
	for _, tc := range []struct {
		name, env, pipe string
		want            bool
	}{
		{"terminal", "TERM=screen", "", true},
		{"NO_COLOR", "NO_COLOR=1", "", false},
		{"empty NO_COLOR", "NO_COLOR=", "", true},
		{"dumb terminal", "TERM=dumb", "", false},
		{"pipe", "TERM=screen", "| cat", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			tm := newTerminal(t, 100, 30, tc.env)
			tm.typeLine(t, fmt.Sprintf("%s --config.file=%s scan own %s; echo status=$?", binary(t), config, tc.pipe))
			tm.awaitLine(t, `^status=\d$`)
			tm.awaitLine(t, fmt.Sprintf(`^127\.0\.0\.1 +%d +tcp +CLOSED +open `, s.free))
			text := tm.run(t, "capture-pane", "-p", "-e")
			red, green := strings.Contains(text, "31mCLOSED"), strings.Contains(text, "32mOPEN")
			if red != tc.want || green != tc.want || strings.Contains(text, "\x1b[") != tc.want {
				t.Errorf("red = %v, green = %v, want %v in:\n%q", red, green, tc.want, text)
			}
		})
	}
}

// TestScanNoProgress scans without a progress bar: disabled, in a dumb terminal, and in a pipe.
func TestScanNoProgress(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ env, after string }{
		"--no-progress": {"TERM=screen", "--no-progress"},
		"dumb":          {"TERM=dumb", ""},
		"pipe":          {"TERM=screen", "2>&1 | (trap '' INT; cat)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newTestPorts(t)
			wait := listenAndWait(t, s.listening)
			tm := newTerminal(t, 100, 30, tc.env)
			tm.typeLine(t, fmt.Sprintf("%s --config.file=%s scan own %s", binary(t), minuteConfig(t, s), tc.after))
			wait()
			for range 20 {
				if text := tm.captureScreen(t); strings.Contains(text, "1001 ports") {
					t.Fatalf("unexpected progress bar:\n%s", text)
				}
				time.Sleep(50 * time.Millisecond)
			}
			tm.run(t, "send-keys", "C-c")
			tm.awaitLine(t, `\(canceled\): interrupted$`)
		})
	}
}
