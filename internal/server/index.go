package server

import (
	"cmp"
	"html/template"
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

// indexPage is what the status page shows.
type indexPage struct {
	frame

	Tally  []tally
	Rows   template.HTML // of the table, see [markup.row]
	Failed []probeRow    // newest first
	Good   []probeRow
	Limit  int
}

// tally is how many targets and modules have a verdict.
type tally struct {
	Verdict verdict
	Count   int
}

// row is a target and one of its modules.
type row struct {
	Verdict             verdict
	Note                string // beside the verdict
	Words               string // to filter by
	Name, Module, Hosts string
	Owner, Reference    string
	Ends                string // how soon the authorization does, if soon
	Seen                bool   // the figures below are there
	Unexpected, Missing string // ports; "": none
	UnexpectedOn        string // on how many addresses, where there are several
	MissingOn           string
	NUnexpected         int
	NMissing            int
	NOpen, NUnknown     int
	Open, Unknown       string
	Age                 moment
	Took                string
	TookUnix            int64 // microseconds
	Links               links
	Progress            []progress
}

// links lead to what can be done about a target and a module.
type links struct {
	Target string
	Probe  string // "": it would be refused
	Debug  string
	Log    string // of the last probe; "": none is kept
}

// progress is a scan under way.
type progress struct {
	Module  string
	Percent int
	Since   moment
}

// probeRow is a recent probe.
type probeRow struct {
	When           moment
	Target, Module string
	Duration       string
	Link, Log      string // Link "": the target is there no more; Log "": its authorization has ended
}

func (s *Server) index(w http.ResponseWriter, _ *http.Request) {
	now := time.Now()
	standings := s.standings(now)
	count := make(map[verdict]int)
	page := indexPage{frame: s.frame("portscan_exporter"), Limit: s.options.HistoryLimit}
	about := s.surroundings(now)
	var rows markup
	const usual = 1 << 10 // bytes of a row
	rows.b.Grow(usual * len(standings))
	for _, st := range standings {
		count[st.verdict]++
		rows.row(s.row(st, about, now))
	}
	page.Rows = rows.html()
	for _, v := range verdicts() {
		page.Tally = append(page.Tally, tally{v, count[v]})
	}
	if n := count[violating]; n > 0 {
		page.Title = thousands(n) + " violating · portscan_exporter"
	}
	page.Failed, page.Good = s.probeRows(now)
	s.page(w, s.pages.index, page, len(page.Rows)+usual*len(page.Failed)+usual*len(page.Good)+16*usual)
}

// key names a target and a module.
type key struct{ target, module string }

// surroundings are what pages say of targets beside what was seen of them.
type surroundings struct {
	underWay map[key][]progress
	lastLog  map[key]int64 // the newest probe whose log is kept
}

func (s *Server) surroundings(now time.Time) surroundings {
	a := surroundings{underWay: make(map[key][]progress), lastLog: make(map[key]int64)}
	under := s.options.Scans.UnderWay()
	slices.SortFunc(under, func(a, b coordinator.UnderWay) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Progress, b.Progress))
	})
	for _, u := range under {
		k := key{u.Target, u.Module}
		a.underWay[k] = append(a.underWay[k], progress{Module: u.Module, Percent: int(100 * u.Progress), Since: momentOf(u.Started, now)})
	}
	for _, r := range s.history.all() {
		k := key{r.target, r.module}
		a.lastLog[k] = max(a.lastLog[k], r.id)
	}
	return a
}

// soon is when the end of an authorization is told of.
const soon = 14 * 24 * time.Hour

// row writes a standing down.
func (s *Server) row(st *standing, about surroundings, now time.Time) *row {
	t, m, k := st.target, st.module, key{st.target.Name, st.module.Name}
	r := &row{
		Verdict: st.verdict, Note: st.note(), Name: t.Name, Module: m.Name, Hosts: entries(t),
		Owner: t.Authorization.Owner, Reference: t.Authorization.Reference,
		Links: s.links(k, st.verdict, about.lastLog[k]), Progress: about.underWay[k],
	}
	if left := t.Authorization.Expires.Sub(now); left > 0 && left < soon {
		r.Ends = ago(left)
	}
	r.Words = st.words(r)
	sum := st.sum
	if sum == nil {
		return r
	}
	r.Seen = true
	r.NUnexpected, r.NMissing, r.NOpen, r.NUnknown = sum.Unexpected.Len(), sum.Missing.Len(), sum.Open, sum.Unknown
	r.Unexpected, r.Missing, r.Open, r.Unknown = few(sum.Unexpected), few(sum.Missing), thousands(sum.Open), thousands(sum.Unknown)
	r.UnexpectedOn, r.MissingOn = st.on(sum.WithUnexpected), st.on(sum.WithMissing)
	r.Age = momentOf(sum.Finished, now)
	if sum.Whole {
		length := sum.Finished.Sub(sum.Started)
		r.Took, r.TookUnix = took(length), length.Microseconds()
	}
	return r
}

// on says on how many addresses something is, where it is not plain.
func (s *standing) on(addresses int) string {
	if addresses == 0 || s.sum.Scanned == 1 && !s.sum.Others {
		return ""
	}
	return "on " + plural(addresses, "address")
}

// words are what a row can be found by, in a filter: also what it has no room to show, up
// to some bound.
func (s *standing) words(r *row) string {
	const mostHosts, mostPorts = 256, 64
	var b strings.Builder
	add := func(words ...string) {
		for _, w := range words {
			if w != "" {
				b.WriteString(w)
				b.WriteByte(' ')
			}
		}
	}
	add(r.Verdict.String(), r.Note, r.Name, r.Module, r.Owner, r.Reference)
	for _, h := range s.target.Hosts[:min(len(s.target.Hosts), mostHosts)] {
		add(h.Entry)
	}
	for _, l := range sorted(s.target.Labels) {
		add(l[0] + "=" + l[1])
	}
	if s.sum == nil {
		return b.String()
	}
	for _, ports := range []scan.PortSet{s.sum.Unexpected, s.sum.Missing} {
		n := 0
		for port := range ports.All() {
			n++
			if n > mostPorts {
				break
			}
			add(strconv.Itoa(int(port)))
		}
	}
	return b.String()
}

// note is what is to be known beside the verdict.
func (s *standing) note() string {
	var notes []string
	if s.verdict == ended {
		notes = append(notes, s.target.Authorization.Expires.UTC().Format(time.DateOnly))
	}
	if s.verdict == violating && len(s.why) > 0 {
		notes = append(notes, "and incomplete")
	}
	notes = append(notes, s.why...)
	if s.sum != nil && s.sum.Suspect > 0 {
		notes = append(notes, plural(s.sum.Suspect, "address")+" suspect")
	}
	if s.verdict == asExpected && s.sum.Plan.Spec().Expect == nil {
		notes = append(notes, "no expectations")
	}
	return strings.Join(notes, ", ")
}

func (s *Server) links(k key, v verdict, lastLog int64) links {
	l := links{Target: s.targetLink(k.target, k.module)}
	if v != ended {
		l.Probe = s.base() + "probe?" + url.Values{"target": {k.target}, "module": {k.module}}.Encode()
		l.Debug = l.Probe + "&debug=true"
	}
	if lastLog > 0 && v != ended {
		l.Log = s.logLink(lastLog)
	}
	return l
}

// entries writes a target's hosts, the first ones of many.
func entries(t *config.Target) string {
	const most = 3
	var all []string
	for i, h := range t.Hosts {
		if i == most && len(t.Hosts) > most+1 {
			all = append(all, "and "+thousands(len(t.Hosts)-most)+" more")
			break
		}
		all = append(all, h.Entry)
	}
	return strings.Join(all, ", ")
}

// probeRows returns the recent probes, failed ones apart.
func (s *Server) probeRows(now time.Time) (failed, good []probeRow) {
	there := make(map[string]*config.Target)
	for _, t := range s.options.Config.Get().Targets() {
		there[t.Name] = t
	}
	for _, r := range s.history.all() {
		p := probeRow{When: momentOf(r.when, now), Target: r.target, Module: r.module, Duration: took(r.duration), Log: s.logLink(r.id)}
		if t := there[r.target]; t != nil {
			p.Link = s.targetLink(r.target, "")
			if t.Authorization.Expired(now) {
				p.Log = ""
			}
		}
		if r.success {
			good = append(good, p)
		} else {
			failed = append(failed, p)
		}
	}
	return failed, good
}
