// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"portscan_exporter/internal/config"
)

// probeRecord is a probe in the history.
type probeRecord struct {
	id       int64
	started  time.Time
	target   string
	module   string
	success  bool
	duration time.Duration
	log      string
}

// history keeps the last failed and the last complete probes. It may be used
// concurrently.
type history struct {
	limit int

	mu               sync.Mutex
	lastID           int64
	complete, failed []probeRecord // oldest first
}

func newHistory(limit int) *history { return &history{limit: max(0, limit)} }

func (h *history) add(r probeRecord) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	r.id = h.lastID
	list := &h.failed
	if r.success {
		list = &h.complete
	}
	*list = append(*list, r)
	if extra := len(*list) - h.limit; extra > 0 {
		*list = slices.Delete(*list, 0, extra)
	}
}

// records returns the kept probes, newest first.
func (h *history) records() []probeRecord {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Concat(h.complete, h.failed)
	slices.SortFunc(all, func(a, b probeRecord) int { return int(b.id - a.id) })
	return all
}

func (h *history) find(id int64) (probeRecord, bool) {
	for _, r := range h.records() {
		if r.id == id {
			return r, true
		}
	}
	return probeRecord{}, false
}

// handleLogs answers /logs?id=N with the debug log of a recent probe.
func (s *Server) handleLogs(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.ParseInt(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		writeError(w, newRequestError(invalidLogID))
		return
	}
	found, ok := s.history.find(id)
	if !ok {
		writeError(w, newRequestError(unknownLog))
		return
	}
	if selection, ok := s.options.Config.Get().Find(found.target); ok && selection.Target.Authorization.Expired(time.Now()) {
		writeError(w, newRequestError(expiredLog, config.QuoteASCII(found.target)))
		return
	}
	writeText(w, http.StatusOK, found.log)
}
