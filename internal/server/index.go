// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"html/template"
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// indexPage is the content of the status page.
type indexPage struct {
	pageFrame

	Counts   []statusCount
	Head     template.HTML
	Rows     template.HTML
	Failed   []probeRow // newest first
	Complete []probeRow
	Limit    int
}

// statusCount is the number of targets and modules that have a status.
type statusCount struct {
	Status status
	Count  int
}

// probeRow is a row of the tables of recent probes.
type probeRow struct {
	When           timestamp
	Target, Module string
	Duration       string
	Link, Log      string // Log "": the authorization of the target has expired
}

// handleIndex answers / with the status of each target and module, the worst
// first, and the recent probes.
func (s *Server) handleIndex(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	all := s.allStatuses(now)
	page := indexPage{pageFrame: s.newPageFrame("portscan_exporter"), Limit: s.options.HistoryLimit}
	activity := s.findActivity(now)
	rows := make([]*statusRow, 0, len(all))
	for _, ts := range all {
		row := s.newStatusRow(ts, activity, now)
		row.FilterText = ts.filterText(row)
		rows = append(rows, row)
	}
	page.Head, page.Rows = statusTable(indexColumns(), rows)
	page.Counts = countStatuses(all)
	if n := page.Counts[statusViolating].Count; n > 0 {
		page.Title = formatNumber(n) + " violating · portscan_exporter"
	}
	page.Failed, page.Complete = s.probeRows(now)
	s.writePage(w, s.pages.index, page, len(page.Rows)+rowSize*(len(page.Failed)+len(page.Complete)+16))
}

func countStatuses(all []*targetStatus) (counts []statusCount) {
	for _, st := range statuses() {
		counts = append(counts, statusCount{Status: st})
	}
	for _, ts := range all {
		counts[ts.status].Count++
	}
	return counts
}

// activity is the scans in progress and the last logs, by target and module.
type activity struct {
	scans   map[targetModule][]progress
	lastLog map[targetModule]int64
}

func (s *Server) findActivity(now time.Time) activity {
	a := activity{scans: make(map[targetModule][]progress), lastLog: make(map[targetModule]int64)}
	scans := s.options.Scans.UnderWay()
	slices.SortFunc(scans, func(a, b coordinator.UnderWay) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Progress, b.Progress))
	})
	for _, u := range scans {
		k := targetModule{u.Target, u.Module}
		a.scans[k] = append(a.scans[k], progress{Module: u.Module, Percent: int(100 * u.Progress), Since: newTimestamp(u.Started, now)})
	}
	for r, failure := range s.currentRecords(now) {
		if failure == nil {
			k := targetModule{r.target.Name, r.module}
			a.lastLog[k] = max(a.lastLog[k], r.id)
		}
	}
	return a
}

// currentRecords yields the kept probes of the configured targets, newest first, and the
// reason why their logs must not be read: only that the authorization has expired.
func (s *Server) currentRecords(now time.Time) iter.Seq2[probeRecord, *requestError] {
	targets := make(map[string]*config.Target)
	for _, t := range s.options.Config.Get().Targets() {
		targets[t.Name] = t
	}
	return func(yield func(probeRecord, *requestError) bool) {
		for _, r := range s.probeLogs.records() {
			failure := r.checkAccess(targets[r.target.Name], now)
			if failure != nil && failure.Format == outdatedLog {
				continue
			}
			if !yield(r, failure) {
				return
			}
		}
	}
}

// expiryNotice is the time before an authorization expires in which pages show it.
const expiryNotice = 14 * 24 * time.Hour

func (s *Server) newStatusRow(ts *targetStatus, a activity, now time.Time) *statusRow {
	t, k := ts.target, targetModule{ts.target.Name, ts.module.Name}
	r := &statusRow{
		Status: ts.status, Note: ts.note(), Target: k.target, Module: k.module, Hosts: formatHosts(t),
		Owner: t.Authorization.Owner, Reference: t.Authorization.Reference,
		Links: s.newRowLinks(t, k, ts.status, a.lastLog[k]), Scans: a.scans[k],
	}
	if left := t.Authorization.Expires.Sub(now); left > 0 && left < expiryNotice {
		r.ExpiresIn = formatAge(left)
	}
	sum := ts.summary
	if sum == nil {
		return r
	}
	r.Scanned = true
	r.Unexpected, r.Missing, r.Open, r.Unknown = sum.Unexpected, sum.Missing, sum.Open, sum.Unknown
	r.UnexpectedOn, r.MissingOn = ts.addressCount(sum.WithUnexpected), ts.addressCount(sum.WithMissing)
	r.Age = newTimestamp(sum.Finished, now)
	if sum.FullScan {
		r.Duration = sum.Finished.Sub(sum.Started)
	}
	return r
}

// addressCount returns a number of addresses as text, or "" if the target has
// only one address.
func (ts *targetStatus) addressCount(n int) string {
	if n == 0 || ts.summary.Scanned == 1 && !ts.summary.Partial {
		return ""
	}
	return "on " + formatCount(n, "address")
}

// filterText returns the text that the filter searches, which has more hosts and
// ports than the row shows.
func (ts *targetStatus) filterText(r *statusRow) string {
	const maxHosts, maxPorts = 256, 64
	words := []string{r.Status.String(), r.Note, r.Target, r.Module, r.Owner, r.Reference}
	for _, h := range ts.target.Hosts[:min(len(ts.target.Hosts), maxHosts)] {
		words = append(words, h.String())
	}
	for _, l := range sortLabels(ts.target.Labels) {
		words = append(words, l[0]+"="+l[1])
	}
	if ts.summary != nil {
		for _, ports := range []scan.PortSet{ts.summary.Unexpected, ts.summary.Missing} {
			n := 0
			for port := range ports.All() {
				n++
				if n > maxPorts {
					break
				}
				words = append(words, strconv.Itoa(int(port)))
			}
		}
	}
	words = slices.DeleteFunc(words, func(w string) bool { return w == "" })
	return strings.Join(words, " ")
}

func (s *Server) newRowLinks(t *config.Target, k targetModule, st status, lastLog int64) rowLinks {
	l := rowLinks{Target: s.targetLink(k.target, k.module)}
	if st == statusExpired {
		return l
	}
	if lastLog > 0 {
		l.Log = s.logLink(lastLog)
	}
	if t.IsByAddress() {
		return l
	}
	l.Probe = s.basePath() + "probe?" + url.Values{"target": {k.target}, "module": {k.module}}.Encode()
	l.Debug = l.Probe + "&debug=true"
	return l
}

// formatHosts returns the first hosts of a target, and the number of the others.
func formatHosts(t *config.Target) string {
	const limit = 3
	if t.IsByAddress() {
		return "by address: " + strings.Join(formatAll(t.Networks), ", ")
	}
	return strings.Join(formatFirst(t.Hosts, limit), ", ")
}

// probeRows returns the recent failed and complete probes.
func (s *Server) probeRows(now time.Time) (failed, complete []probeRow) {
	for r, failure := range s.currentRecords(now) {
		name := r.target.Name
		p := probeRow{When: newTimestamp(r.started, now), Target: name, Module: r.module, Duration: formatDuration(r.duration), Link: s.targetLink(name, "")}
		if failure == nil {
			p.Log = s.logLink(r.id)
		}
		if r.success {
			complete = append(complete, p)
		} else {
			failed = append(failed, p)
		}
	}
	return failed, complete
}
