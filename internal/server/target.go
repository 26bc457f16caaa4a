package server

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/scan"
)

// targetPage is what the page of a target shows, with one of its modules.
type targetPage struct {
	frame

	Name     string
	Worst    verdict // of all modules
	Owner    string
	Word     string // the reference; "": none was given
	Until    string // "": the authorization has no end
	Ended    bool
	Hosts    []string
	Networks []string
	Excluded []string
	Family   string
	Labels   [][2]string

	Modules  []*row // of which one is shown below
	Shown    *row
	How      string // the module scans
	Scanned  string // ports of the plan
	NScanned string
	Expect   string // what the owner says of the protocol's ports
	MaxAge   string // "": every probe scans
	Progress []progress

	Addresses []addressRow
	Address   string // the one that is shown below; "": all of them
	NotKnown  []string
	Map       *portMap // nil: there is nothing to show
	Ports     []portRow
	None      string // why Ports is empty
	Omitted   string // ports that are not in the list; "": none
	Changes   []changeRow
}

// portMap is the picture of all ports, and the same as text.
type portMap struct {
	Protocol string
	Layers   []layer
	Marks    []mark
	Facts    []classFacts
	Ticks    []tick
}

// tick is a port at the side of the picture.
type tick struct{ Y, Port int }

// addressRow is an address of a target.
type addressRow struct {
	IP, Hosts  string
	Link       string
	Chosen     bool
	Open       string
	Unexpected string
	Missing    string
	Unknown    string
	Age        moment
	Responding bool
	Suspect    bool
	Forgotten  bool // which ports are open, closed and so on

	NUnexpected, NMissing int // ports
}

func (s *Server) targetLink(target, module string) string {
	link := s.base() + "target/" + url.PathEscape(target)
	if module != "" {
		link += "?" + url.Values{"module": {module}}.Encode()
	}
	return link
}

func (s *Server) logLink(id int64) string {
	return s.base() + "logs?id=" + strconv.FormatInt(id, 10)
}

// target answers /target/NAME?module=M&address=A with what is known of a target: by its
// first module that has the worst verdict, or M, on all its addresses, or A.
func (s *Server) target(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	name, query := r.PathValue("name"), r.URL.Query()
	selection, ok := s.options.Config.Get().Find(name)
	if !ok || selection.Addr.IsValid() {
		writeError(w, newRequestError(unknownPage, quote(name)))
		return
	}
	t := selection.Target
	all := s.standingsOf(t, now)
	worst, chosen := 0, -1
	for i := range all {
		if all[i].verdict < all[worst].verdict {
			worst = i
		}
		if all[i].module.Name == query.Get("module") {
			chosen = i
		}
	}
	if chosen < 0 && query.Get("module") != "" {
		writeError(w, newRequestError(unlistedPage, quote(t.Name), quote(query.Get("module"))))
		return
	}
	if chosen < 0 {
		chosen = worst
	}
	page, ok := s.targetPage(all, chosen, query.Get("address"), now)
	if !ok {
		writeError(w, newRequestError(unknownAddress, quote(query.Get("address")), quote(t.Name)))
		return
	}
	page.Worst = all[worst].verdict
	page.Title = page.Worst.String() + ": " + t.Name + " · portscan_exporter"
	const usual = 32 << 10
	s.page(w, s.pages.target, page, usual)
}

// targetPage returns what a page shows, and false if there is no such address.
func (s *Server) targetPage(all []*standing, chosen int, address string, now time.Time) (*targetPage, bool) {
	st := all[chosen]
	t, m := st.target, st.module
	p := &targetPage{
		frame: s.frame(""), Name: t.Name,
		Owner: t.Authorization.Owner, Word: t.Authorization.Reference, Ended: st.verdict == ended,
		Hosts: hostTexts(t), Networks: texts(t.Networks), Excluded: texts(t.ExcludeHosts), Family: familyWords(t.Family),
		Labels: sorted(t.Labels), How: m.Protocol.String(),
	}
	if !t.Authorization.Expires.IsZero() {
		p.Until = stamp(t.Authorization.Expires)
	}
	if m.MaxAge > 0 {
		p.MaxAge = model.Duration(m.MaxAge).String()
	}
	if m.Protocol == scan.TCP {
		p.How += " (" + m.Method.String() + ")"
	}
	about := s.surroundings(now)
	for i := range all {
		p.Modules = append(p.Modules, s.row(all[i], about, now))
		p.Progress = append(p.Progress, p.Modules[i].Progress...)
	}
	p.Shown = p.Modules[chosen]
	plan := config.Selection{Target: t}.Task(m).Plan
	p.Scanned, p.NScanned, p.Expect = strings.ReplaceAll(plan.Ports().String(), ",", ", "), thousands(plan.Ports().Len()), expectWords(plan)
	if st.sight == nil {
		return p, address == ""
	}
	addresses, ok := choose(st.sight, address)
	if !ok {
		return nil, false
	}
	p.Address = address
	s.show(p, st, addresses, now)
	return p, true
}

// choose returns the addresses that are to be shown: one, or all.
func choose(s *coordinator.Sight, address string) ([]*coordinator.AddressSight, bool) {
	if address == "" {
		return s.Addresses, true
	}
	for _, a := range s.Addresses {
		if a.IP.String() == address {
			return []*coordinator.AddressSight{a}, true
		}
	}
	return nil, false
}

// show fills in what was seen of the addresses.
func (s *Server) show(p *targetPage, st *standing, addresses []*coordinator.AddressSight, now time.Time) {
	sight := st.sight
	for _, a := range sight.Addresses {
		p.Addresses = append(p.Addresses, s.addressRow(p, a, now))
	}
	by := classify(sight, addresses, p.Address == "" && (sight.Gone > 0 || sight.Others))
	p.Map = &portMap{
		Protocol: sight.Plan.Spec().Protocol.String(), Layers: by.layers(), Marks: by.marks(), Facts: by.facts(),
	}
	for y := 0; y < side; y += side / 8 {
		p.Map.Ticks = append(p.Map.Ticks, tick{Y: y, Port: y * side})
	}
	p.NotKnown = st.notKnown()
	p.Ports, p.Omitted = portRows(sight, addresses, now)
	p.None = by.none()
	p.Changes = s.changeRows(p, st.target.Name, now)
}

func (s *Server) addressRow(p *targetPage, a *coordinator.AddressSight, now time.Time) addressRow {
	ip := a.IP.String()
	return addressRow{
		IP: ip, Hosts: strings.Join(a.Hosts, ", "), Chosen: ip == p.Address,
		Link: s.targetLink(p.Name, p.Shown.Module) + "&" + url.Values{"address": {ip}}.Encode(),
		Open: thousands(a.Count(scan.Open)), Unknown: thousands(a.Count(scan.Unknown)),
		Unexpected: few(a.Unexpected), NUnexpected: a.Unexpected.Len(), Missing: few(a.Missing), NMissing: a.Missing.Len(),
		Age: momentOf(a.Finished, now), Responding: a.Responding, Suspect: a.Suspect, Forgotten: a.Forgotten,
	}
}

// expectWords says what the owner says of the ports of the plan's protocol.
func expectWords(p scan.Plan) string {
	e := p.Spec().Expect
	switch spaced := func(ports scan.PortSet) string { return strings.ReplaceAll(ports.String(), ",", ", ") }; {
	case e == nil:
		return "No expectations: no port is a violation."
	case e.Open.IsEmpty() && e.Allow.IsEmpty():
		return "No port may be open."
	case e.Allow.IsEmpty():
		return "Must be open: " + spaced(e.Open) + ". No other port may be open."
	case e.Open.IsEmpty():
		return "May be open: " + spaced(e.Allow) + ". No other port may be open."
	default:
		return "Must be open: " + spaced(e.Open) + ". May be open: " + spaced(e.Allow) + ". No other port may be open."
	}
}
