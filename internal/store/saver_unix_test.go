// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

//go:build unix

package store

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"portscan_exporter/internal/scan"
)

// The variables by which a test is the child process of another one. They have the state file.
const (
	killedChild = "STORE_TEST_KILLED_CHILD"
	fullChild   = "STORE_TEST_FULL_CHILD"
)

// childCommand returns the command for a child process that runs the test.
func childCommand(tb testing.TB, variable, file string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], "-test.run=^"+tb.Name()+"$", "-test.timeout=1m")
	cmd.Env = append(os.Environ(), variable+"="+file)
	cmd.Stderr = os.Stderr
	return cmd
}

// lastID returns the number of the last scan in a state file.
func lastID(tb testing.TB, file string, o StateOptions) int {
	tb.Helper()
	r, err := readState(file, newRestorer(o, time.Now()))
	if err != nil {
		tb.Fatalf("reading the state file: %v", err)
	}
	e := r.byID[entryID{"t", "m"}]
	if e == nil || e.full == nil {
		return 0
	}
	id, err := strconv.Atoi(e.full.by.id)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// TestKilledWhileSaving kills a process that records and saves all the time. Its file is always
// valid, and has at least the results that it had before.
func TestKilledWhileSaving(t *testing.T) {
	task := stateTask(t, "1-5")
	o := StateOptions{Tasks: []scan.Task{task}, Interval: time.Millisecond}
	if file := os.Getenv(killedChild); file != "" {
		recordUntilKilled(t, file, o)
		return
	}
	t.Parallel()
	file := stateFileOf(t)
	const kills = 30
	for range kills {
		cmd := childCommand(t, killedChild, file)
		var failure bytes.Buffer
		cmd.Stderr = &failure
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		saved, lines := 0, bufio.NewScanner(out)
		for i := 1 + rand.IntN(4); i > 0 && lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "saved "); ok {
				saved, _ = strconv.Atoi(text)
				i--
			} else {
				fmt.Fprintln(&failure, lines.Text())
			}
		}
		time.Sleep(rand.N(5 * time.Millisecond))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if id := lastID(t, file, o); saved == 0 || id < saved {
			t.Fatalf("last scan in the file: %d, want at least %d, which is not 0: %v: %s", id, saved, cmd.ProcessState, failure.String())
		}
	}
	s := newStateStore(t, nil)
	if err := s.Restore(file, o); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got := directoryNames(t, filepath.Dir(file)); got != "state.json" {
		t.Errorf("files %s, want state.json only", got)
	}
}

// recordUntilKilled records scans, numbered from the last one in the file, and prints which of
// them the file has.
func recordUntilKilled(t *testing.T, file string, o StateOptions) {
	t.Helper()
	s := newStateStore(t, nil)
	if err := s.Restore(file, o); err != nil {
		t.Fatal(err)
	}
	task := o.Tasks[0]
	ips := make([]string, 0, 14)
	for i := range cap(ips) {
		ips = append(ips, fmt.Sprintf("192.0.2.%d", i+1))
	}
	saved := lastID(t, file, o)
	for id := saved + 1; ; id++ {
		open := scan.NewPortSet(uint16(1 + id%5))
		s.Record(task, strconv.Itoa(id), stateResult(t, task, time.Now().Add(-time.Second), ips, open, scan.PortSet{}))
		if next := lastID(t, file, o); next > saved {
			saved = next
			fmt.Println("saved", saved) //nolint:forbidigo // to the parent
		}
	}
}

// TestSaveToFullDisk has a limit of the size of files, which fails like a full disk. The limit is
// of a process of its own.
func TestSaveToFullDisk(t *testing.T) {
	if file := os.Getenv(fullChild); file != "" {
		saveToFullDisk(t, file)
		return
	}
	t.Parallel()
	if out, err := childCommand(t, fullChild, stateFileOf(t)).Output(); err != nil {
		t.Errorf("child: %v\n%s", err, out)
	}
}

func saveToFullDisk(t *testing.T, file string) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ)
	task := stateTask(t, "1-5")
	o := StateOptions{Tasks: []scan.Task{task}, Interval: time.Millisecond}
	var log lockedLog
	s := newStateStore(t, &log)
	if err := s.Restore(file, o); err != nil {
		t.Fatal(err)
	}
	fillStore(t, s, task)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		limited := before
		limited.Cur = 1000
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
			t.Fatal(err)
		}
		errorsBefore := strings.Count(log.String(), `msg="Failed to write state file"`)
		for strings.Count(log.String(), `msg="Failed to write state file"`) == errorsBefore {
			recordOpen(t, s, task, 1, 2)
			time.Sleep(time.Millisecond)
		}
		for range 20 {
			recordOpen(t, s, task, 1, 3)
			time.Sleep(time.Millisecond)
		}
		if _, err := readState(file, newRestorer(o, time.Now())); err != nil {
			t.Errorf("reading the file on the full disk: %v", err)
		}
		resumed := strings.Count(log.String(), `msg="Resumed writing state file"`)
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Fatal(err)
		}
		for strings.Count(log.String(), `msg="Resumed writing state file"`) == resumed {
			time.Sleep(time.Millisecond)
		}
		if got := strings.Count(log.String(), `msg="Failed to write state file"`); got != errorsBefore+1 {
			t.Errorf("%d errors, want %d", got, errorsBefore+1)
		}
	}
	s.Close()
	if got := directoryNames(t, filepath.Dir(file)); got != "state.json" {
		t.Errorf("files %s, want state.json only", got)
	}
}
