// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// restart ends the coordinator, and makes one that has its state file.
func (h *host) restart(t *testing.T, file string) (log string) {
	t.Helper()
	h.Close()
	h.log.take()
	h.build(t)
	if err := h.Restore(file, []scan.Task{h.task}); err != nil {
		t.Fatal(err)
	}
	return h.log.take()
}

// TestRestart has what is known outlive the program.
func TestRestart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	h := newHost(t, "1-5")
	defer func() { h.Close() }()
	h.task.MaxAge = time.Hour
	if log := h.restart(t, file); log != "" {
		t.Errorf("without a file yet it says %q", log)
	}
	h.scan(t, scan.Open, 1, 2)
	h.task.MaxAge = 0 // so that the next scan is one
	h.scan(t, scan.Open, 1)
	h.task.MaxAge = time.Hour
	before, _ := h.scan(t, scan.Open, 1, 4)
	changes := h.Changes("t")
	if len(changes) != 1 {
		t.Fatalf("changes: %v", changes)
	}

	if log := h.restart(t, file); log != "" {
		t.Errorf("it says %q", log)
	}
	after, told := h.again(t)
	if len(told) != 0 || !after.Retained || !after.Result.Finished.Equal(before.Result.Finished) || !after.Result.Success() {
		t.Errorf("after a restart a probe is shown %+v, and not the retained result; told %q", after, told)
	}
	if got := after.Memory.Opened(theHost).String(); got != "1-2" {
		t.Errorf("%s were open once, want 1-2", got)
	}
	at, _ := before.Memory.LastChange(theHost, 2)
	if got, ok := after.Memory.LastChange(theHost, 2); !ok || !got.Equal(at) {
		t.Errorf("port 2 last changed at %v, want %v", got, at)
	}
	if diff := cmp.Diff(asText(changes), asText(h.Changes("t"))); diff != "" {
		t.Errorf("the history (-want +got):\n%s", diff)
	}
	h.task.MaxAge = 0
	if _, told := h.scan(t, scan.Open, 1, 3); len(told) != 1 || told[0] != change(3, "closed", "open", "closed") {
		t.Errorf("of what changed while it was down it tells %q", told)
	}
}

// TestSavedWithoutNews has a program killed after scans that nobody was told of.
func TestSavedWithoutNews(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	h := newHost(t, "1-5")
	defer func() { h.Close() }()
	h.restart(t, file)
	for i := range 12 { // the last change is one of too many
		h.scan(t, []scan.State{scan.Closed, scan.Open}[i%2], 4)
	}
	h.task = taskOf(t, "1-6")
	h.Reconfigured([]scan.Task{h.task})
	before, _ := h.scan(t, scan.Open, 4) // port 6 is new
	time.Sleep(2500 * time.Millisecond)
	killed, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	if err := os.WriteFile(file, killed, 0o600); err != nil {
		t.Fatal(err)
	}
	h.build(t)
	if err := h.Restore(file, []scan.Task{h.task}); err != nil {
		t.Fatal(err)
	}
	after, told := h.scan(t, scan.Open, 4, 6)
	was, _ := before.Memory.LastChange(theHost, 4)
	if at, ok := after.Memory.LastChange(theHost, 4); !ok || !at.Equal(was) {
		t.Errorf("port 4 last changed at %v, want %v", at, was)
	}
	if len(told) != 1 || told[0] != change(6, "closed", "open", "closed") {
		t.Errorf("of a port that changed while it was down it tells %q", told)
	}
}

// TestClockThatWasWrong has a state file from the future.
func TestClockThatWasWrong(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	const ahead = `"2999-01-01T00:00:00Z"`
	inner := coordinator.Sealed([]byte(`{"remembered":[{"target":"t","module":"m","protocol":"tcp","ip":"192.0.2.1","last":` + ahead + `,"whole":` + ahead +
		`,"states":{"closed":"1-5"},"changed":{"2":{"at":` + ahead + `,"since":` + ahead + `,"times":10}}}]}`))
	if err := os.WriteFile(file, inner, 0o600); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, "1-5")
	defer func() { h.Close() }()
	if log := h.restart(t, file); log != "" {
		t.Errorf("it says %q", log)
	}
	a, told := h.scan(t, scan.Open, 3)
	if len(told) != 1 || a.Memory.Opened(theHost).String() != "3" {
		t.Errorf("told %q, open once %v", told, a.Memory.Opened(theHost))
	}
	if at, ok := a.Memory.LastChange(theHost, 2); !ok || at.After(time.Now()) {
		t.Errorf("port 2 changed at %v", at)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func asText(changes []coordinator.Change) (all []string) {
	for _, c := range changes {
		c.Time = c.Time.UTC().Round(0)
		all = append(all, fmt.Sprintf("%+v", c))
	}
	return all
}

// TestRestartWithAnotherConfiguration takes from the file what still holds.
func TestRestartWithAnotherConfiguration(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	h := newHost(t, "1-5")
	defer func() { h.Close() }()
	h.task.MaxAge = time.Hour
	h.restart(t, file)
	h.scan(t, scan.Open, 2, 5)
	h.task = taskOf(t, "1-4")
	h.task.MaxAge = time.Hour
	h.restart(t, file)
	a, told := h.scan(t, scan.Closed)
	if a.Retained || len(told) != 1 || told[0] != change(2, "open", "closed", "closed") || a.Memory.Opened(theHost).String() != "2" {
		t.Errorf("retained %v, told %q, open once %v", a.Retained, told, a.Memory.Opened(theHost))
	}
}

// TestStateFileOfNoUse has files that can't be made sense of.
func TestStateFileOfNoUse(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "state.json")
	h := newHost(t, "1-5")
	defer func() { h.Close() }()
	h.task.MaxAge = time.Hour
	h.restart(t, file)
	h.scan(t, scan.Open, 2)
	h.Close()
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	good := string(whole)
	for name, text := range map[string]string{
		"empty":   "",
		"torn":    good[:len(good)/2],
		"damaged": strings.Replace(good, `"opened":"2"`, `"opened":"3"`, 1),
		"newer":   strings.Replace(good, `"version":1`, `"version":2`, 1),
		"foreign": `{"users": ["me"]}`,
		"no JSON": "root:x:0:0:root:/root:/bin/bash\n",
		"large":   good + " ",
	} {
		if text == good {
			t.Fatalf("%s: the file is as good as ever: %s", name, good)
		}
		h.Close() // it saves
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "large" { // with nothing but zeros behind it
			if err := os.Truncate(file, 193<<20); err != nil {
				t.Fatal(err)
			}
		}
		log := h.restart(t, file)
		if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, file+".unusable") {
			t.Errorf("%s: it says %q, want one warning", name, log)
		}
		if a, _ := h.scan(t, scan.Closed); a.Retained || !a.Memory.Opened(theHost).IsEmpty() {
			t.Errorf("%s: something is remembered: %+v", name, a)
		}
		aside, err := os.ReadFile(file + ".unusable")
		if err != nil || !strings.HasPrefix(string(aside), text) {
			t.Errorf("%s: the old file is not kept: %v", name, err)
		}
		if log := h.restart(t, file); log != "" {
			t.Errorf("%s: after the fresh start there is %q", name, log)
		}
	}
}

// TestStateFileThatCantBeWritten is refused at the start, and told of once later.
func TestStateFileThatCantBeWritten(t *testing.T) {
	t.Parallel()
	h := newHost(t, "1-5")
	if err := h.Restore(filepath.Join(t.TempDir(), "no", "folder", "state.json"), nil); err == nil {
		t.Error("a folder that is not there was taken")
	}
	if err := h.Restore(t.TempDir(), nil); err == nil {
		t.Error("a folder was taken for a file")
	}
	folder := filepath.Join(t.TempDir(), "folder")
	if err := os.Mkdir(folder, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := h.Restore(filepath.Join(folder, "state.json"), []scan.Task{h.task}); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	h.log.take()
	if a, err := h.Scan(within(t, time.Second), h.task); err != nil || !a.Result.Success() {
		t.Errorf("the scan failed: %v, %v", a.Result, err)
	}
	h.Close()
	if log := h.log.take(); strings.Count(log, "Failed to write state file") != 1 {
		t.Errorf("it says %q", log)
	}
}

func FuzzStateFile(f *testing.F) {
	f.Add([]byte(`{"format":"portscan_exporter state","version":1,"sha256":"","content":{}}`))
	f.Add([]byte(`{"remembered":[{"target":"t","module":"m","protocol":"tcp","ip":"192.0.2.1","states":{"open":"1-5"},"opened":"1","changed":{"1":{}}}]}`))
	f.Add([]byte(`{"changes":{"t":[{"protocol":"udp","from":"open","to":"closed","expected":"any"}]},"results":[{"asked":"t"}]}`))
	f.Fuzz(func(t *testing.T, inner []byte) {
		file := filepath.Join(t.TempDir(), "state.json")
		if json.Valid(inner) { // with the right checksum, it goes all the way
			inner = coordinator.Sealed(inner)
		}
		if err := os.WriteFile(file, inner, 0o600); err != nil {
			t.Fatal(err)
		}
		h := newHost(t, "1-5")
		defer h.Close()
		if err := h.Restore(file, []scan.Task{h.task}); err != nil {
			t.Fatal(err)
		}
		h.scan(t, scan.Open, 2)
	})
}
