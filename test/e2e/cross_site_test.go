// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// TestCrossSiteReload opens pages of other sites that send a form to /-/reload. The exporter must
// not reload. A form of its own must work.
func TestCrossSiteReload(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("first"))
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, `<link rel="icon" href="data:,"><form method="post" action="%s/-/reload"><input type="submit"></form>`, e.url)
	}))
	t.Cleanup(page.Close)
	b := startBrowser(t, e)
	replaceFile(t, e.config, targetsConfig("first", "second"))
	for _, site := range []string{page.URL, strings.Replace(page.URL, "127.0.0.1", "localhost", 1)} {
		b.run(t, chromedp.Navigate(site))
		b.submitForm(t)
		b.wantText(t, "body", "request was sent by a page of another site")
		wantStatus(t, e.url+"/probe?target=second", http.StatusForbidden)
	}
	b.dropErrors("403 (Forbidden)")

	b.openPage(t, "/-/healthy") // its policy allows forms to the exporter
	evaluate[bool](t, b, `(() => {
		document.body.innerHTML = '<form method="post" action="/-/reload"><input type="submit"></form>';
		return true;
	})()`)
	b.submitForm(t)
	b.wantText(t, "body", "Reloaded")
	wantStatus(t, e.url+"/probe?target=second", http.StatusOK)
}

// submitForm submits the form of the page and waits until the answer is loaded.
func (b *browser) submitForm(t *testing.T) {
	t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.WaitEvent(cdppage.LoadEventFired, nil, chromedp.Click(chromedp.CSS("input")))); err != nil {
		t.Fatalf("submitting a form: %v", err)
	}
}

// dropErrors removes the expected errors in the console.
func (b *browser) dropErrors(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	others := b.errors[:0]
	for _, e := range b.errors {
		if !strings.Contains(e, text) {
			others = append(others, e)
		}
	}
	b.errors = others
}
