// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/chromedp"
)

// startStatusHosts listens on loopback addresses and returns a configuration with a target for
// each status.
func startStatusHosts(t *testing.T) string {
	t.Helper()
	network := fmt.Sprintf("127.%d.%d", 64+rand.IntN(128), rand.IntN(256))
	for _, addr := range []string{".1:2222", ".1:8443", ".1:8022", ".1:8005", ".1:31337", ".2:3306", ".18:2222", ".19:2222", ".20:2222", ".20:9107", ".21:2222"} {
		l, err := net.Listen("tcp", network+addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
	}
	return strings.ReplaceAll(`modules:
  tcp_default: {ports: "1-1024,2222,3306,8000-9200"}
  tcp_wide: {ports: "1-2000,2100-20000,30000-42000", timeout: 30s, max_age: 1h}
  tcp_gentle: {ports: "1-6000", rate: 1500, timeout: 2s}
  udp_few: {protocol: udp, ports: "53,123,161"}
targets:
  - name: web
    hosts: [NET.1]
    modules: [tcp_default, tcp_wide, tcp_gentle, udp_few]
    authorization: {owner: "net team", reference: "CHG-1234", expires: 2099-06-30}
    expect: {tcp: {open: "2222,5432,8443", allow: "8000-8010"}, udp: {}}
    labels: {env: prod, rack: r1}
  - name: rack-7
    hosts: [NET.16/29]
    modules: [tcp_default]
    authorization: {owner: "dc team", reference: "DC-88"}
    expect: {tcp: {open: "2222"}}
  - {name: db, hosts: [NET.2], modules: [tcp_default], authorization: {owner: "db team", reference: "OPS-7"}, expect: {tcp: {open: "3306"}}}
  - {name: intranet, hosts: [NET.3], modules: [tcp_default], authorization: {owner: "net team"}, expect: {tcp: {}}}
  - {name: mail, hosts: [NET.4], modules: [tcp_gentle], authorization: {owner: "mail team", reference: "CHG-0815"}}
  - {name: lab, hosts: [NET.5], modules: [tcp_default], authorization: {owner: "lab", reference: "L-1", expires: 2020-01-31}}
  - {name: spare, hosts: [NET.6], modules: [tcp_default], authorization: {owner: "net team"}}
`, "NET", network)
}

// TestPagesAppearance checks each page in both color schemes and two window sizes. With
// PORTSCAN_TEST_PICTURES it also takes the screenshots for the documents.
func TestPagesAppearance(t *testing.T) {
	t.Parallel()
	e := startExporter(t, startStatusHosts(t))
	b := startBrowser(t, e)
	for _, q := range []string{"web", "web&module=tcp_wide", "web&module=tcp_gentle", "web&module=udp_few", "rack-7", "db", "intranet", "mail"} {
		e.probe(t, "target="+q)
	}
	paths := map[string]string{
		"index": "/", "target": "/target/web?module=tcp_wide", "unknown": "/target/web?module=tcp_gentle", "several": "/target/rack-7",
		"ended": "/target/lab", "never": "/target/spare",
	}
	for _, scheme := range []string{"light", "dark"} {
		b.setColorScheme(t, scheme)
		for _, window := range []struct {
			name          string
			width, height int64
		}{{"desk", 1280, 900}, {"phone", 360, 780}} {
			b.run(t, chromedp.EmulateViewport(window.width, window.height))
			for name, path := range paths {
				b.openPage(t, path)
				page := strings.Join([]string{name, scheme, window.name}, "-")
				b.checkLegible(t, page)
				b.checkAccessible(t, page)
				if name == "index" && window.name == "phone" {
					b.checkReasonsVisible(t, page)
				}
				b.saveScreenshot(t, page)
			}
		}
	}
}

// checkReasonsVisible fails the test if a narrow status page requires horizontal scrolling to see
// why a target violates, and since when.
func (b *browser) checkReasonsVisible(t *testing.T, page string) {
	t.Helper()
	if over := evaluate[int](t, b, `(() => { const s = document.querySelector("#targets").parentElement; return s.scrollWidth - s.clientWidth; })()`); over > 0 {
		t.Errorf("%s: table is %d pixels too wide", page, over)
	}
	cells := strings.Join(evaluate[[]string](t, b, `[...document.querySelectorAll("#targets tr.violating td:first-child")].map((cell) => cell.innerText)`), "\n")
	for _, words := range []string{"unexpected: 8022, 31337", "missing: 5432", "s ago"} {
		if !strings.Contains(cells, words) {
			t.Errorf("%s: statuses lack %q: %s", page, words, cells)
		}
	}
}

// checkLegible fails the test if a page is wider than the window, or if the contrast of a text is
// below the minimum of WCAG 2.1 (1.4.3): 4.5 to 1, or 3 to 1 for large text.
func (b *browser) checkLegible(t *testing.T, page string) {
	t.Helper()
	if over := evaluate[int](t, b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
		t.Errorf("%s: page is %d pixels too wide", page, over)
	}
	texts := evaluate[int](t, b, `document.querySelectorAll("main *").length`)
	for _, f := range evaluate[[]string](t, b, `(() => {
	const parse = (color) => {
		const n = color.match(/[\d.]+/g).map(Number);
		return { r: n[0], g: n[1], b: n[2], a: n[3] ?? 1 };
	};
	const over = (top, below) => ({ r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a), b: top.b * top.a + below.b * (1 - top.a), a: 1 });
	const linear = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
	const luminance = (c) => 0.2126 * linear(c.r) + 0.7152 * linear(c.g) + 0.0722 * linear(c.b);
	const behind = (element) => {
		const layers = [];
		for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
		return layers.reverse().reduce((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 });
	};
	const bad = new Set();
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	for (let node; (node = walker.nextNode());) {
		const element = node.parentElement, style = getComputedStyle(element);
		if (!node.textContent.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
		if (element.closest("title, script, option")) continue;
		const paper = behind(element);
		let ink = parse(element.closest("svg") ? style.fill : style.color);
		for (let e = element; e; e = e.parentElement) ink.a *= Number(getComputedStyle(e).opacity);
		ink = over(ink, paper);
		const [dark, light] = [luminance(ink), luminance(paper)].sort((a, b) => a - b);
		const ratio = (light + 0.05) / (dark + 0.05), size = parseFloat(style.fontSize), bold = Number(style.fontWeight) >= 700;
		if (ratio < (size >= 24 || (bold && size >= 18.66) ? 3 : 4.5)) bad.add(ratio.toFixed(2) + " to 1: " + node.textContent.trim().slice(0, 40));
	}
	return [...bad];
})()`) {
		t.Errorf("%s: contrast is too low: %s", page, f)
	}
	if texts < 20 {
		t.Errorf("%s: got %d elements, want at least 20", page, texts)
	}
}

// checkAccessible fails the test if the accessibility tree has an element without a name, or if the
// page has one of the faults that axe classifies as serious. axe itself is not available as a Go
// module.
func (b *browser) checkAccessible(t *testing.T, page string) {
	t.Helper()
	needName := []string{"link", "button", "searchbox", "textbox", "combobox", "spinbutton", "image", "progressbar", "region", "navigation", "DisclosureTriangle", "RootWebArea"}
	roles := make(map[string]int)
	for _, n := range callBrowser(t, b, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{}).Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		role, name := accessibilityText(n.Role), accessibilityText(n.Name)
		roles[role]++
		if slices.Contains(needName, role) && strings.TrimSpace(name) == "" {
			t.Errorf("%s: %s has no name", page, role)
		}
	}
	for _, role := range []string{"link", "heading", "main", "banner", "table", "columnheader", "rowheader"} {
		if roles[role] == 0 {
			t.Errorf("%s: no element has role %s: %v", page, role, roles)
		}
	}
	for _, f := range evaluate[[]string](t, b, `(() => {
	const bad = [], all = (selector) => [...document.querySelectorAll(selector)], visible = (e) => e.checkVisibility();
	if (!document.documentElement.lang) bad.push("no lang attribute");
	if (all("main").length !== 1 || all("h1").length !== 1) bad.push("want one main and one h1");
	const ids = all("[id]").map((e) => e.id);
	for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) bad.push("duplicate id " + id);
	for (const e of all("[aria-labelledby], [aria-describedby]")) if (!document.getElementById(e.getAttribute("aria-labelledby") ?? e.getAttribute("aria-describedby"))) bad.push("missing label");
	let level = 0;
	for (const h of all("h1, h2, h3, h4").filter(visible)) {
		if (Number(h.tagName[1]) > level + 1) bad.push("heading skips a level: " + h.textContent);
		level = Number(h.tagName[1]);
	}
	for (const th of all("th")) if (!th.scope) bad.push("th without scope: " + th.textContent);
	for (const table of all("table")) for (const row of table.rows) {
		const width = (r) => [...r.cells].reduce((n, c) => n + c.colSpan, 0);
		if (width(row) !== width(table.rows[0])) bad.push("row length differs from the header: " + row.textContent.trim());
	}
	for (const e of all("[tabindex]")) if (e.tabIndex > 0) bad.push("positive tabindex");
	for (const e of all("div, pre, section").filter((e) => e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).overflowX !== "visible")) if (e.tabIndex < 0) bad.push("not scrollable by keyboard: " + e.className);
	for (const e of all("a, button, input, select, summary").filter(visible)) if (e.closest("[aria-hidden=true], [role=img]")) bad.push("hidden control: " + e.textContent);
	return bad;
})()`) {
		t.Errorf("%s: %s", page, f)
	}
}

func accessibilityText(v *accessibility.Value) (text string) {
	if v == nil || json.Unmarshal(v.Value, &text) != nil {
		return ""
	}
	return text
}
