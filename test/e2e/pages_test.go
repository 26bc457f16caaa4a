package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// manyTargets is a configuration with one target that has markup wherever its owner may write,
// and 1000 others.
func manyTargets(expected, unexpected int) string {
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

// TestBrowser finds a target that violates, looks at it, and probes it once the port is
// closed.
func TestBrowser(t *testing.T) {
	t.Parallel()
	expected, unexpected := freePort(t), freePort(t)
	listen(t, expected)
	closePort := listen(t, unexpected)
	e := serve(t, manyTargets(expected, unexpected))
	b := browse(t, e)
	e.probe(t, "target=own").want(t, "probe_success", 1)
	e.probe(t, "target=host-7").want(t, "probe_success", 1)

	b.open(t, "/")
	b.want(t, ".tally", "1 violating", "999 never scanned", "1 as expected")
	b.want(t, "#targets tbody tr", "violating", "own", strconv.Itoa(unexpected))
	b.want(t, "#good", "Complete")
	b.filter(t)

	b.follow(t, `#targets tr.violating th a`)
	b.want(t, ".title", "own", "violating")
	b.textStaysText(t)
	row := fmt.Sprintf(`table.ports tr[data-port="%d"]`, unexpected)
	b.want(t, row, "open", "must not be open", "no change between complete scans")
	b.want(t, fmt.Sprintf(`table.ports tr[data-port="%d"]`, expected), "open", "must be open", "s") // its response time
	b.want(t, "#notscanned + ul", "of 65,535 TCP ports", "UDP: no module of this target scans it.")
	b.nameThePorts(t, unexpected)

	closePort()
	b.follow(t, `td.links a[href*="/probe?"]`)
	b.want(t, "body", onLoopback("127.0.0.1", unexpected, "closed")+" 0", "probe_success 1")
	if err := chromedp.Do(b.ctx, chromedp.NavigateBack()); err != nil {
		t.Fatal(err)
	}
	b.want(t, ".title", "own", "as expected")
	b.want(t, row, "closed", "must not be open", "UTC")
	b.want(t, `section[aria-labelledby="changes"]`, fmt.Sprintf("%d/tcp 127.0.0.1 open → closed few", unexpected))
	if ports := b.text(t, `[data-class="open, but should not be"]`); ports != "" {
		t.Errorf("port %s is still said to be unexpected", ports)
	}
	if n := eval[int](t, b, `document.querySelectorAll('.picture use[href="#m-unexpected"]').length`); n != 0 {
		t.Errorf("%d ports are still drawn as unexpected", n)
	}
	b.follow(t, ".crumb a")
	b.want(t, ".tally", "0 violating", "2 as expected")
	b.follow(t, `#targets tr.expected td.links a[href*="/logs?"]`)
	b.want(t, "body", "Probe ends")
}

// filter uses the filter and sorts.
func (b *browser) filter(t *testing.T) {
	t.Helper()
	shown := func(want int, first string) {
		t.Helper()
		if n := eval[int](t, b, shownRows+".length"); n != want {
			t.Errorf("%d rows are shown, want %d", n, want)
		}
		b.want(t, "#shown", fmt.Sprintf("%d of 1001", want))
		if got := eval[string](t, b, firstName); got != first {
			t.Errorf("the first one is %s, want %s", got, first)
		}
	}
	shown(1001, "own")
	b.do(t, chromedp.SendKeys(chromedp.ID("filter"), "HOST-99 team-0"))
	shown(5, "host-99") // and 990, 993, 996 and 999
	find := func(words string) {
		t.Helper()
		b.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("#filter").select()`), chromedp.SendKeys(chromedp.ID("filter"), words))
	}
	find("note=")
	shown(1, "own") // by its label
	find("probe")
	b.want(t, "#shown", "0 of 1001") // which every row has a link of
	find("team-1")
	b.do(t, chromedp.SendKeys(chromedp.ID("verdict"), "as"))
	shown(1, "host-7")
	b.do(t, chromedp.Reload())
	shown(1, "host-7") // it is kept in the address
	b.open(t, "/?again")
	shown(1001, "own")
	sort := `#targets thead th:nth-child(2) button`
	b.do(t, chromedp.Click(chromedp.CSS(sort)))
	shown(1001, "host-0")
	if second := eval[string](t, b, shownRows+`[10].querySelector("th a").textContent`); second != "host-10" {
		t.Errorf("the eleventh by name is %s", second)
	}
	b.do(t, chromedp.Click(chromedp.CSS(sort)))
	shown(1001, "own")
	if order := eval[string](t, b, `document.querySelector("#targets th[aria-sort]").ariaSort`); order != "descending" {
		t.Errorf("the order is said to be %s", order)
	}
}

// textStaysText looks for elements that an owner's markup would have made.
func (b *browser) textStaysText(t *testing.T) {
	t.Helper()
	const owner = `<img src=x onerror=alert(1)>"&amp;<script>alert(2)</script>`
	b.want(t, ".facts", "Owner "+owner, "On the word of "+owner, "note: "+owner)
	if n := eval[int](t, b, `document.querySelectorAll("main img, main script, main style, main iframe").length`); n != 0 {
		t.Errorf("the page has %d elements that it should not have", n)
	}
}

// nameThePorts uses the picture of all ports.
func (b *browser) nameThePorts(t *testing.T, unexpected int) {
	t.Helper()
	marks := eval[[]string](t, b, `[...document.querySelectorAll(".picture use title")].map((title) => title.textContent)`)
	if want := fmt.Sprintf("%d: open, but should not be", unexpected); len(marks) == 0 || marks[len(marks)-1] != want {
		t.Errorf("the mark on top is of %v, want %s", marks, want)
	}
	b.point(t, unexpected)
	b.want(t, "#said", fmt.Sprintf("Port %d: open, but should not be", unexpected))
	b.want(t, "tr.here", fmt.Sprintf("%d/tcp", unexpected))
	b.point(t, 65535)
	b.want(t, "#said", "Port 65535: not scanned")
	b.point(t, 0)
	b.want(t, "#said", "Port 0 does not exist")
	b.do(t, chromedp.Evaluate[chromedp.Void](`document.querySelector("#port").select()`), chromedp.SendKeys(chromedp.ID("port"), "60000"))
	b.want(t, "#said", "Port 60000: not scanned")
}

// TestBrowserWithoutScripts has the same facts without a line of JavaScript.
func TestBrowserWithoutScripts(t *testing.T) {
	t.Parallel()
	expected, unexpected := freePort(t), freePort(t)
	listen(t, unexpected)
	e := serve(t, manyTargets(expected, unexpected))
	b := browse(t, e)
	b.scripts(t, false)
	e.probe(t, "target=own")
	b.open(t, "/")
	b.want(t, "#targets tbody tr", "violating", "own", strconv.Itoa(unexpected), strconv.Itoa(expected))
	if visible := eval[bool](t, b, `document.querySelector("#controls").offsetParent !== null`); visible {
		t.Error("controls are shown that do nothing")
	}
	b.follow(t, `#targets tr.violating th a`)
	b.want(t, ".title", "own", "violating")
	b.want(t, `[data-class="open, but should not be"]`, strconv.Itoa(unexpected))
	b.want(t, `[data-class="not open, but should be"]`, strconv.Itoa(expected))
	b.want(t, `[data-class="not scanned"]`, "101-")
	if painted := eval[bool](t, b, `document.querySelector(".picture .c-unexpected").getBBox().width > 0 && document.querySelector(".picture").clientWidth > 300`); !painted {
		t.Error("the picture is not there")
	}
	if visible := eval[bool](t, b, `document.querySelector(".find").offsetParent !== null`); visible {
		t.Error("a field is shown that does nothing")
	}
}
