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

// probeRecord is a kept probe.
type probeRecord struct {
	id       int64
	started  time.Time
	target   *config.Target // as it was configured
	module   string
	success  bool
	duration time.Duration
	log      string
}

// checkAccess returns why the log must not be read, or nil. current is the target as it is
// configured now, nil if it is not. The log shows results, so its target must belong to the
// same owner, have the same hosts and list the module.
func (r probeRecord) checkAccess(current *config.Target, now time.Time) *requestError {
	listed := false
	if current != nil && sameHosts(current, r.target) && current.Authorization.Owner == r.target.Authorization.Owner {
		_, listed = current.Module(r.module)
	}
	switch {
	case !listed:
		return newRequestError(outdatedLog, config.QuoteASCII(r.target.Name), config.QuoteASCII(r.module))
	case current.Authorization.Expired(now):
		return newRequestError(expiredLog, config.QuoteASCII(r.target.Name))
	default:
		return nil
	}
}

// sameHosts reports whether two targets have the same addresses and names.
func sameHosts(a, b *config.Target) bool {
	return a == b || a.Family == b.Family && slices.Equal(a.Hosts, b.Hosts) &&
		slices.Equal(a.Networks, b.Networks) && slices.Equal(a.ExcludeHosts, b.ExcludeHosts)
}

// probeLogs keeps the last failed and the last complete probes. It may be used
// concurrently.
type probeLogs struct {
	limit int

	mu               sync.Mutex
	lastID           int64
	complete, failed []probeRecord // oldest first
}

func newProbeLogs(limit int) *probeLogs { return &probeLogs{limit: max(0, limit)} }

func (pl *probeLogs) add(r probeRecord) {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	pl.lastID++
	r.id = pl.lastID
	list := &pl.failed
	if r.success {
		list = &pl.complete
	}
	*list = append(*list, r)
	if extra := len(*list) - pl.limit; extra > 0 {
		*list = slices.Delete(*list, 0, extra)
	}
}

// records returns the kept probes, newest first.
func (pl *probeLogs) records() []probeRecord {
	pl.mu.Lock()
	defer pl.mu.Unlock()
	all := slices.Concat(pl.complete, pl.failed)
	slices.SortFunc(all, func(a, b probeRecord) int { return int(b.id - a.id) })
	return all
}

func (pl *probeLogs) find(id int64) (probeRecord, bool) {
	for _, r := range pl.records() {
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
	found, ok := s.probeLogs.find(id)
	if !ok {
		writeError(w, newRequestError(unknownLog))
		return
	}
	current, _ := s.options.Config.Get().Target(found.target.Name)
	if failure := found.checkAccess(current, time.Now()); failure != nil {
		writeError(w, failure)
		return
	}
	writeText(w, http.StatusOK, found.log)
}
