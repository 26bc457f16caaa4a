package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kernelGrowth begins to watch the kernel's memory for sockets, on the whole
// machine; the function that it returns says by how many MiB it grew at the
// peak.
func kernelGrowth(t *testing.T) func() float64 {
	t.Helper()
	begun := kernelMemory(t)
	return peak(20*time.Millisecond, func() float64 { return kernelMemory(t) - begun })
}

// peakMemory watches how much memory a process takes; the function that it returns
// says how many MiB that was at the peak. What the kernel says when a process has
// ended (getrusage(2), ru_maxrss) holds that of the process that started it.
func peakMemory(pid int) func() float64 {
	return peak(5*time.Millisecond, func() float64 {
		// A process that has just ended has no such line.
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, ok := strings.Cut(string(text), "VmHWM:")
		if !ok {
			return 0
		}
		kib, _ := strconv.ParseFloat(strings.Fields(rest)[0], 64)
		return kib / 1024
	})
}

// peak measures again and again, until the function that it returns is called,
// which says the most that was measured, or 0 if all was less.
func peak(every time.Duration, measure func() float64) func() float64 {
	most := 0.0
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			most = max(most, measure())
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
		return most
	}
}

// kernelMemory is what slabs and the queues of TCP sockets take, in MiB.
func kernelMemory(t *testing.T) float64 {
	t.Helper()
	return field(t, "/proc/meminfo", "Slab:")/1024 + field(t, "/proc/net/sockstat", "mem")*float64(os.Getpagesize())/(1<<20)
}

// field is the first number after a word in a file.
func field(t *testing.T, file, word string) float64 {
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
