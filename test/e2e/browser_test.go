// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a headless browser that shows the pages of an exporter.
type browser struct {
	ctx context.Context //nolint:containedctx // it is how chromedp names a tab
	url string

	mu     sync.Mutex
	errors []string // errors in the console
}

// startBrowser starts a browser until the test ends. An error in its console fails the test.
func startBrowser(t *testing.T, e *exporter) *browser {
	t.Helper()
	b := &browser{url: e.url}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(needProgram(t, "chromium")), chromedp.UserDataDir(t.TempDir()), chromedp.WSURLReadTimeout(time.Minute),
		chromedp.NoSandbox, // root cannot use the sandbox
		chromedp.Flag("disable-dev-shm-usage", true))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	b.ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(b.recordError))
	t.Cleanup(func() {
		_ = chromedp.Cancel(b.ctx) // waits until the browser has ended
		cancel()
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, text := range b.errors {
			t.Errorf("error in the console: %s", text)
		}
	})
	b.run(t, chromedp.EmulateViewport(1280, 900))
	return b
}

// recordError records errors in a page, including violations of its content security policy.
func (b *browser) recordError(event any) {
	var text string
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		text = e.ExceptionDetails.Text
		if e.ExceptionDetails.Exception != nil {
			text += " " + e.ExceptionDetails.Exception.Description
		}
	case *runtime.EventConsoleAPICalled:
		text = "console." + string(e.Type)
	case *log.EventEntryAdded:
		text = fmt.Sprintf("%s: %s (%s)", e.Entry.Level, e.Entry.Text, e.Entry.URL)
	case *cdppage.EventJavascriptDialogOpening:
		text = "a dialog: " + e.Message
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.errors = append(b.errors, text)
}

// run runs the steps in order.
func (b *browser) run(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// openPage opens a page of the exporter.
func (b *browser) openPage(t *testing.T, path string) {
	t.Helper()
	b.run(t, chromedp.Navigate(b.url+path))
}

// followLink clicks a link and waits until the next page is loaded.
func (b *browser) followLink(t *testing.T, selector string) {
	t.Helper()
	if _, err := chromedp.Run(b.ctx, chromedp.WaitEvent(cdppage.LoadEventFired, nil, chromedp.Click(chromedp.CSS(selector)))); err != nil {
		t.Fatalf("clicking on %s: %v", selector, err)
	}
}

// evaluate evaluates a JavaScript expression in the page.
func evaluate[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// visibleText returns the visible text of an element in one line.
func (b *browser) visibleText(t *testing.T, selector string) string {
	t.Helper()
	return evaluate[string](t, b, fmt.Sprintf(`(document.querySelector(%q)?.innerText ?? "there is no " + %[1]q).replace(/\s+/g, " ").trim()`, selector))
}

// wantText fails the test unless an element contains the texts.
func (b *browser) wantText(t *testing.T, selector string, words ...string) {
	t.Helper()
	got := b.visibleText(t, selector)
	for _, w := range words {
		if !strings.Contains(got, w) {
			t.Errorf("%s lacks %q: %s", selector, w, got)
		}
	}
}

// clickPort moves the pointer to a port in the map and clicks it.
func (b *browser) clickPort(t *testing.T, port int) {
	t.Helper()
	at := evaluate[[]float64](t, b, fmt.Sprintf(`(() => {
		const picture = document.querySelector(".picture");
		picture.scrollIntoView({block: "center"});
		const p = new DOMPoint(%d + .5, %d + .5).matrixTransform(picture.getScreenCTM());
		return [p.x, p.y];
	})()`, port%256, port/256))
	b.run(t, chromedp.MouseEvent(input.DispatchMouseEventTypeMouseMoved, at[0], at[1]))
	b.wantText(t, "#portname", fmt.Sprintf("Port %d", port))
	b.run(t, chromedp.MouseClickXY(at[0], at[1]))
}

// allowScripts enables or disables JavaScript.
func (b *browser) allowScripts(t *testing.T, allowed bool) {
	t.Helper()
	callBrowser(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !allowed})
}

// setColorScheme selects the light or dark color scheme.
func (b *browser) setColorScheme(t *testing.T, scheme string) {
	t.Helper()
	callBrowser(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	})
}

func callBrowser[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) R {
	t.Helper()
	r, err := chromedp.Call(b.ctx, command, params)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// saveScreenshot saves the complete page in the directory PORTSCAN_TEST_PICTURES, if that is set.
func (b *browser) saveScreenshot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("PORTSCAN_TEST_PICTURES")
	if dir == "" {
		return
	}
	data, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}
