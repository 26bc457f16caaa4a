// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"

	"portscan_exporter/internal/config"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
)

// targetPage is the content of a target's page, which shows one of its modules.
type targetPage struct {
	pageFrame

	Name      string
	Worst     status // of all modules
	Owner     string
	Reference string // "": none
	Expires   string // "": never
	Expired   bool
	Hosts     []string
	Networks  []string
	Excluded  []string
	Family    string
	Labels    [][2]string

	ModuleHead template.HTML
	ModuleRows template.HTML
	Scans      []progress // in progress, with all modules
	Selected   *statusRow // the module that the page shows
	Method     string
	Ports      foldedText // of the module
	PortCount  string
	Expect     string
	MaxAge     string // "": results are not cached

	Results *targetResults // nil: never scanned, or hidden
}

// targetResults is the part of a target's page that shows results.
type targetResults struct {
	Target, Module string
	AllLink        string // to the results of all addresses
	Address        string // the selected address; "": all
	Gaps           []string
	Addresses      []addressRow
	Responding     string // how many addresses respond
	Ports          []portRow
	NoPorts        string // why Ports is empty
	Omitted        string // number of ports that are not listed; "": none
	Errors         []icmpRow
	OmittedErrors  string // number of ICMP errors that are not listed; "": none
	Map            *portMap
	Changes        []changeRow
}

// SeveralAddresses reports whether the results are those of several addresses.
func (r *targetResults) SeveralAddresses() bool { return r.Address == "" && len(r.Addresses) > 1 }

// addressRow is a row of the table of addresses.
type addressRow struct {
	IP, Hosts  string
	Link       string
	Selected   bool
	Open       string
	Unexpected string
	Missing    string
	Unknown    string
	Age        timestamp
	Responding bool
	Suspicion  string // why the address is suspect; "": it is not

	LastResponse *timestamp // nil: none was seen

	UnexpectedCount, MissingCount int // ports
}

func (s *Server) targetLink(target, module string) string {
	link := s.basePath() + "target/" + url.PathEscape(target)
	if module != "" {
		link += "?" + url.Values{"module": {module}}.Encode()
	}
	return link
}

func (s *Server) logLink(id int64) string {
	return s.basePath() + "logs?id=" + strconv.FormatInt(id, 10)
}

// handleTarget answers /target/NAME?module=M&address=A with the results of a
// target. Without module it shows the first module that has the worst status,
// without address all addresses.
func (s *Server) handleTarget(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	name, query := r.PathValue("name"), r.URL.Query()
	t, ok := s.options.Config.Get().Target(name)
	if !ok {
		writeError(w, newRequestError(unknownPage, config.QuoteASCII(name)))
		return
	}
	all := s.moduleStatuses(t, now)
	worst := slices.MinFunc(all, func(a, b *targetStatus) int { return int(a.status) - int(b.status) })
	selected := worst
	if module := query.Get("module"); module != "" {
		i := slices.IndexFunc(all, func(ts *targetStatus) bool { return ts.module.Name == module })
		if i < 0 {
			writeError(w, newRequestError(unlistedPage, config.QuoteASCII(t.Name), config.QuoteASCII(module)))
			return
		}
		selected = all[i]
	}
	address := query.Get("address")
	addresses, ok := selected.selectAddresses(address)
	if !ok {
		writeError(w, newRequestError(unknownAddress, config.QuoteASCII(address), config.QuoteASCII(t.Name)))
		return
	}
	page := s.newTargetPage(selected, now)
	page.Worst = worst.status
	page.Title = page.Worst.String() + ": " + t.Name + " · portscan_exporter"
	s.addModules(page, all, selected, now)
	if selected.view != nil {
		page.Results = s.newTargetResults(selected, addresses, address, now)
	}
	const size = 32 << 10
	s.writePage(w, s.pages.target, page, size)
}

// selectAddresses returns the results of one address, or of all if ip is empty.
func (ts *targetStatus) selectAddresses(ip string) ([]*store.AddressView, bool) {
	var all []*store.AddressView
	if ts.view != nil {
		all = ts.view.Addresses
	}
	if ip == "" {
		return all, true
	}
	for _, a := range all {
		if a.IP.String() == ip {
			return []*store.AddressView{a}, true
		}
	}
	return nil, false
}

// newTargetPage returns the page with the configuration of the target and module.
func (s *Server) newTargetPage(ts *targetStatus, now time.Time) *targetPage {
	t, m := ts.target, ts.module
	task := config.Selection{Target: t}.Task(m)
	plan := task.Plan
	p := &targetPage{
		pageFrame: s.newPageFrame(""), Name: t.Name,
		Owner: t.Authorization.Owner, Reference: t.Authorization.Reference, Expired: t.Authorization.Expired(now),
		Hosts: listHosts(t.Hosts), Networks: formatAll(t.Networks), Excluded: formatAll(t.ExcludeHosts), Family: formatFamily(task.Family), Labels: sortLabels(t.Labels),
		Method: m.Protocol.String(), Ports: foldPorts(plan.Ports()), PortCount: formatCount(plan.Ports().Len(), "port"), Expect: describeExpectations(plan),
	}
	if !t.Authorization.Expires.IsZero() {
		p.Expires = formatTime(t.Authorization.Expires)
	}
	if m.MaxAge > 0 {
		p.MaxAge = model.Duration(m.MaxAge).String()
	}
	if m.Protocol == scan.TCP {
		p.Method += " (" + m.Method.String() + ")"
	}
	return p
}

// addModules adds the table of modules and the scans in progress to the page.
func (s *Server) addModules(p *targetPage, all []*targetStatus, selected *targetStatus, now time.Time) {
	activity := s.findActivity(now)
	rows := make([]*statusRow, 0, len(all))
	for _, ts := range all {
		row := s.newStatusRow(ts, activity, now)
		if ts == selected {
			row.Selected, p.Selected = true, row
		}
		p.Scans = append(p.Scans, row.Scans...)
		rows = append(rows, row)
	}
	p.ModuleHead, p.ModuleRows = statusTable(moduleColumns(), rows)
}

func (s *Server) newTargetResults(ts *targetStatus, addresses []*store.AddressView, address string, now time.Time) *targetResults {
	view, target, module := ts.view, ts.target.Name, ts.module.Name
	r := &targetResults{
		Target: target, Module: module, AllLink: s.targetLink(target, module), Address: address,
		Gaps: ts.coverageGaps(), Changes: s.changeRows(target, address, now),
	}
	responding := 0
	for _, a := range view.Addresses {
		r.Addresses = append(r.Addresses, newAddressRow(r, a, now))
		if a.Responding {
			responding++
		}
	}
	r.Responding = fmt.Sprintf("%s of %s respond.", formatNumber(responding), formatNumber(len(r.Addresses)))
	ports := classifyPorts(view, addresses, address == "" && (view.Evicted > 0 || view.Partial))
	r.Map, r.NoPorts = newPortMap(view.Plan.Spec().Protocol, ports), ports.noPortsText()
	r.Ports, r.Omitted = portRows(view, addresses, now)
	r.Errors, r.OmittedErrors = icmpRows(addresses)
	return r
}

func newAddressRow(r *targetResults, a *store.AddressView, now time.Time) addressRow {
	ip := a.IP.String()
	var lastResponse *timestamp
	if !a.LastResponse.IsZero() {
		lastResponse = new(newTimestamp(a.LastResponse, now))
	}
	return addressRow{
		IP: ip, Hosts: joinHosts(a.Hosts), Selected: ip == r.Address,
		Link: r.AllLink + "&" + url.Values{"address": {ip}}.Encode(),
		Open: formatNumber(a.Count(scan.Open)), Unknown: formatNumber(a.Count(scan.Unknown)),
		Unexpected: formatFirstPorts(a.Unexpected), UnexpectedCount: a.Unexpected.Len(),
		Missing: formatFirstPorts(a.Missing), MissingCount: a.Missing.Len(),
		Age: newTimestamp(a.Finished, now), Responding: a.Responding, LastResponse: lastResponse, Suspicion: a.Suspicion.String(),
	}
}

// sortLabels returns the labels in order of name.
func sortLabels(labels map[string]string) (sorted [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		sorted = append(sorted, [2]string{name, labels[name]})
	}
	return sorted
}
