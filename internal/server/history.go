package server

import (
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// record is a probe as the history keeps it.
type record struct {
	id       int64
	when     time.Time
	target   string
	module   string
	success  bool
	duration time.Duration
	log      string
}

// history keeps the last probes, failed ones apart, so that they outlive the
// good ones. It may be used concurrently.
type history struct {
	limit int

	mu           sync.Mutex
	lastID       int64
	good, failed []record // oldest first
}

func newHistory(limit int) *history { return &history{limit: max(0, limit)} }

func (h *history) add(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lastID++
	r.id = h.lastID
	list := &h.failed
	if r.success {
		list = &h.good
	}
	*list = append(*list, r)
	if extra := len(*list) - h.limit; extra > 0 {
		*list = slices.Delete(*list, 0, extra)
	}
}

// all returns what is kept, newest first.
func (h *history) all() []record {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Concat(h.good, h.failed)
	slices.SortFunc(all, func(a, b record) int { return int(b.id - a.id) })
	return all
}

func (h *history) find(id int64) (record, bool) {
	for _, r := range h.all() {
		if r.id == id {
			return r, true
		}
	}
	return record{}, false
}

// logs answers /logs?id=N with the debug log of a recent probe.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
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
	if of, ok := s.options.Config.Get().Find(found.target); ok && of.Target.Authorization.Expired(time.Now()) {
		writeError(w, newRequestError(expiredLog, quote(found.target)))
		return
	}
	writeText(w, http.StatusOK, found.log)
}
