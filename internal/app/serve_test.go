// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/goleak"
)

// noLeaks fails the test if it leaves a goroutine.
func noLeaks(t *testing.T) {
	t.Helper()
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func writeConfig(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func fetch(t *testing.T, url string) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// TestServeShutdown serves, reloads on a signal, answers the pending probe when it shuts
// down, and leaves no goroutine.
func TestServeShutdown(t *testing.T) {
	noLeaks(t)
	address, health, none := freeAddress(t), freeAddress(t), ""
	no := false
	o := ServeOptions{
		ConfigFile: writeConfig(t, `
modules: {slow: {ports: "1-65535", rate: 1000, timeout: 1m}}
targets: [{name: here, hosts: [127.0.0.1], modules: [slow], authorization: {owner: me}}]
`),
		AutoReload: true, ReloadInterval: time.Hour, HistoryLimit: 10, TimeoutOffset: 0.5, MaxConnections: 100,
		WebOptions: WebOptions{Web: &web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &no, WebConfigFile: &none}, HealthListenAddress: health},
	}
	e, err := newExporter(o, promslog.NewNopLogger())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	hup := make(chan os.Signal)
	served := make(chan error, 1)
	go func() { served <- e.serve(ctx, hup) }()
	for {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for _, a := range []string{address, health} {
		if code, body := fetch(t, "http://"+a+"/-/ready"); code != http.StatusOK {
			t.Errorf("GET /-/ready of %s = %d %q, want %d", a, code, body, http.StatusOK)
		}
	}
	hup <- os.Interrupt // any value on this channel

	type answer struct {
		code int
		body string
	}
	answered := make(chan answer, 1)
	go func() {
		code, body := fetch(t, "http://"+address+"/probe?target=here")
		answered <- answer{code, body}
	}()
	for e.scans.InFlight() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	started := time.Now()
	stop()
	got := <-answered
	if got.code != http.StatusOK || !strings.Contains(got.body, `portscan_scan_failed{reason="canceled"} 1`) || !strings.Contains(got.body, "\nprobe_success 0") {
		t.Errorf("probe status = %d, want %d and a canceled scan:\n%s", got.code, http.StatusOK, got.body)
	}
	if err := <-served; err != nil {
		t.Errorf("serve() = %v, want nil", err)
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("shutdown took %v, want at most 5s", took)
	}
}
