// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// watchKernelMemory starts to watch the machine's kernel memory for sockets. The
// returned function returns its peak growth in MiB.
func watchKernelMemory(t *testing.T) func() float64 {
	t.Helper()
	start := readKernelMemory(t)
	return watchPeak(20*time.Millisecond, func() float64 { return readKernelMemory(t) - start })
}

// watchMemory starts to watch the memory of a process. The returned function returns
// the peak in MiB. ru_maxrss of getrusage(2) would include the parent process.
func watchMemory(pid int) func() float64 {
	return watchPeak(5*time.Millisecond, func() float64 {
		// Absent after the process has ended.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, ok := strings.Cut(string(text), "VmHWM:")
		if !ok {
			return 0
		}
		kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		return kib / 1024
	})
}

// watchPeak measures repeatedly until the returned function is called, which returns
// the maximum, at least 0.
func watchPeak(interval time.Duration, measure func() float64) func() float64 {
	peak := 0.0
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			peak = max(peak, measure())
			select {
			case <-stop:
				return
			case <-ticker.C:
			}
		}
	}()
	return func() float64 {
		close(stop)
		<-done
		return peak
	}
}

// readKernelMemory returns the size of slabs and TCP socket queues, in MiB.
func readKernelMemory(t *testing.T) float64 {
	t.Helper()
	return readField(t, "/proc/meminfo", "Slab:")/1024 + readField(t, "/proc/net/sockstat", "mem")*float64(os.Getpagesize())/(1<<20)
}

// readField returns the first number after a word in a file.
func readField(t *testing.T, file, word string) float64 {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Error(err)
		return 0
	}
	words := strings.Fields(string(text))
	for i, w := range words {
		if w == word && i+1 < len(words) {
			n, _ := strconv.ParseFloat(words[i+1], 64)
			return n
		}
	}
	t.Errorf("%s has no %s", file, word)
	return 0
}
