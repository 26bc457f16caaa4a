// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// manyTargetsConfig returns a configuration with 1000 plain targets and one that has markup in each
// field that allows it.
func manyTargetsConfig(expected, unexpected int) string {
	const markup = `'<img src=x onerror=alert(1)>"&amp;<script>alert(2)</script>'`
	var text strings.Builder
	fmt.Fprintf(&text, `modules:
  few: {ports: "1-100,%d,%d"}
targets:
  - name: own
    hosts: [127.0.0.1]
    modules: [few]
    authorization: {owner: %[3]s, reference: %[3]s}
    expect: {tcp: {open: %[1]d, allow: "1-100"}}
    labels: {note: %[3]s}
`, expected, unexpected, markup)
	for i := range 1000 {
		fmt.Fprintf(&text, "  - {name: host-%d, hosts: [127.8.%d.%d], modules: [few], authorization: {owner: team-%d}}\n", i, i/200, 1+i%200, i%3)
	}
	return text.String()
}

const (
	shownRows = `[...document.querySelectorAll("#targets tbody tr")].filter((row) => row.offsetParent !== null)`
	firstName = shownRows + `[0].querySelector("th a").textContent`
)

// TestPagesInBrowser finds a violating target, opens its page, and probes it after the port is
// closed.
func TestPagesInBrowser(t *testing.T) {
	t.Parallel()
	expected, unexpected := freePort(t), freePort(t)
	listenLocal(t, expected)
	closePort := listenLocal(t, unexpected)
	e := startExporter(t, manyTargetsConfig(expected, unexpected))
	b := startBrowser(t, e)
	e.probe(t, "target=own").wantValue(t, "probe_success", 1)
	e.probe(t, "target=host-7").wantValue(t, "probe_success", 1)

	b.openPage(t, "/")
	b.wantText(t, ".counts", "1 violating", "999 never scanned", "1 as expected")
	b.wantText(t, "#targets tbody tr", "violating", "own", strconv.Itoa(unexpected))
	b.wantText(t, "#complete", "Complete")
	b.testFilter(t)

	b.followLink(t, `#targets tr.violating th a`)
	b.wantText(t, ".title", "own", "violating")
	b.checkMarkupEscaped(t)
	row := fmt.Sprintf(`table.ports tr[data-port="%d"]`, unexpected)
	b.wantText(t, row, "open", "must not be open", "none seen")
	b.wantText(t, fmt.Sprintf(`table.ports tr[data-port="%d"]`, expected), "open", "must be open", "s") // the response time
	b.wantText(t, "#gaps + ul", "of 65,535 TCP ports", "UDP: not scanned by any module of this target.")
	b.testPortMap(t, unexpected)

	closePort()
	b.followLink(t, `td.links a[href*="/probe?"]`)
	b.wantText(t, "body", portOpenSample("127.0.0.1", unexpected, "closed")+" 0", "probe_success 1")
	if err := chromedp.Do(b.ctx, chromedp.NavigateBack()); err != nil {
		t.Fatal(err)
	}
	b.wantText(t, ".title", "own", "as expected")
	b.wantText(t, row, "closed", "must not be open", "UTC")
	b.wantText(t, `section[aria-labelledby="changes"]`, fmt.Sprintf("%d/tcp 127.0.0.1 open → closed few", unexpected))
	if ports := b.visibleText(t, `[data-class="open (unexpected)"]`); ports != "" {
		t.Errorf("port %s is still listed as unexpected", ports)
	}
	if n := evaluate[int](t, b, `document.querySelectorAll('.picture use[href="#m-unexpected"]').length`); n != 0 {
		t.Errorf("got %d unexpected ports in the map, want 0", n)
	}
	b.followLink(t, ".crumb a")
	b.wantText(t, ".counts", "0 violating", "2 as expected")
	b.followLink(t, `#targets tr.expected td.links a[href*="/logs?"]`)
	b.wantText(t, "body", "Probe finished")
}

// testFilter filters and sorts the table of targets.
func (b *browser) testFilter(t *testing.T) {
	t.Helper()
	shown := func(want int, first string) {
		t.Helper()
		if n := evaluate[int](t, b, shownRows+".length"); n != want {
			t.Errorf("got %d rows, want %d", n, want)
		}
		b.wantText(t, "#count", fmt.Sprintf("%d of 1001", want))
		if got := evaluate[string](t, b, firstName); got != first {
			t.Errorf("first row = %s, want %s", got, first)
		}
	}
	shown(1001, "own")
	b.run(t, chromedp.SendKeys(chromedp.ID("filter"), "HOST-99 team-0"))
	shown(5, "host-99") // host-99, 990, 993, 996 and 999
	find := func(words string) {
		t.Helper()
		b.run(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("#filter").select()`), chromedp.SendKeys(chromedp.ID("filter"), words))
	}
	find("note=")
	shown(1, "own") // matches its label
	find("probe")
	b.wantText(t, "#count", "0 of 1001") // each row has a link with this text, which must not match
	find("team-1")
	b.run(t, chromedp.SendKeys(chromedp.ID("status"), "as"))
	shown(1, "host-7")
	b.run(t, chromedp.Reload())
	shown(1, "host-7") // the URL keeps the filter
	b.openPage(t, "/?again")
	shown(1001, "own")
	sort := `#targets thead th:nth-child(2) button`
	b.run(t, chromedp.Click(chromedp.CSS(sort)))
	shown(1001, "host-0")
	if second := evaluate[string](t, b, shownRows+`[10].querySelector("th a").textContent`); second != "host-10" {
		t.Errorf("11th row by name = %s, want host-10", second)
	}
	b.run(t, chromedp.Click(chromedp.CSS(sort)))
	shown(1001, "own")
	if order := evaluate[string](t, b, `document.querySelector("#targets th[aria-sort]").ariaSort`); order != "descending" {
		t.Errorf("sort order = %s, want descending", order)
	}
}

// checkMarkupEscaped fails the test if markup in the configuration became elements of the page.
func (b *browser) checkMarkupEscaped(t *testing.T) {
	t.Helper()
	const owner = `<img src=x onerror=alert(1)>"&amp;<script>alert(2)</script>`
	b.wantText(t, ".facts", "Owner "+owner, "Reference "+owner, "note: "+owner)
	if n := evaluate[int](t, b, `document.querySelectorAll("main img, main script, main style, main iframe").length`); n != 0 {
		t.Errorf("got %d elements made from markup, want 0", n)
	}
}

// testPortMap uses the map of all ports.
func (b *browser) testPortMap(t *testing.T, unexpected int) {
	t.Helper()
	marks := evaluate[[]string](t, b, `[...document.querySelectorAll(".picture use title")].map((title) => title.textContent)`)
	if want := fmt.Sprintf("%d: open (unexpected)", unexpected); len(marks) == 0 || marks[len(marks)-1] != want {
		t.Errorf("topmost mark of %v is wrong, want %s", marks, want)
	}
	b.clickPort(t, unexpected)
	b.wantText(t, "#portname", fmt.Sprintf("Port %d: open (unexpected)", unexpected))
	b.wantText(t, "tr.here", fmt.Sprintf("%d/tcp", unexpected))
	b.clickPort(t, 65535)
	b.wantText(t, "#portname", "Port 65535: not scanned")
	b.clickPort(t, 0)
	b.wantText(t, "#portname", "Port 0: never scanned")
	b.run(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("#port").select()`), chromedp.SendKeys(chromedp.ID("port"), "60000"))
	b.wantText(t, "#portname", "Port 60000: not scanned")
}

// TestPagesWithoutScripts checks that the pages show the same facts without JavaScript.
func TestPagesWithoutScripts(t *testing.T) {
	t.Parallel()
	expected, unexpected := freePort(t), freePort(t)
	listenLocal(t, unexpected)
	e := startExporter(t, manyTargetsConfig(expected, unexpected))
	b := startBrowser(t, e)
	b.allowScripts(t, false)
	e.probe(t, "target=own")
	b.openPage(t, "/")
	b.wantText(t, "#targets tbody tr", "violating", "own", strconv.Itoa(unexpected), strconv.Itoa(expected))
	if visible := evaluate[bool](t, b, `document.querySelector("#controls").offsetParent !== null`); visible {
		t.Error("controls that need JavaScript are visible")
	}
	b.followLink(t, `#targets tr.violating th a`)
	b.wantText(t, ".title", "own", "violating")
	b.wantText(t, `[data-class="open (unexpected)"]`, strconv.Itoa(unexpected))
	b.wantText(t, `[data-class="not open (missing)"]`, strconv.Itoa(expected))
	b.wantText(t, `[data-class="not scanned"]`, "101-")
	if painted := evaluate[bool](t, b, `document.querySelector(".picture .c-unexpected").getBBox().width > 0 && document.querySelector(".picture").clientWidth > 300`); !painted {
		t.Error("port map is not visible")
	}
	if visible := evaluate[bool](t, b, `document.querySelector(".find").offsetParent !== null`); visible {
		t.Error("search field that needs JavaScript is visible")
	}
}
