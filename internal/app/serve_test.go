package app

import (
	"bytes"
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

// noLeaks makes a test fail when it leaves a goroutine behind.
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

// TestServeLeavesNothing runs the whole program in this process: it serves,
// reloads on a signal, answers the probe that is under way when it is told to
// stop, and leaves no goroutine.
func TestServeLeavesNothing(t *testing.T) {
	noLeaks(t)
	address, none := freeAddress(t), ""
	no := false
	f := flags{
		configFile: writeConfig(t, `
modules: {slow: {ports: "1-65535", rate: 1000, timeout: 1m}}
targets: [{name: here, hosts: [127.0.0.1], modules: [slow], authorization: {owner: me}}]
`),
		serve: serveFlags{
			autoReload: true, reloadInterval: time.Hour, historyLimit: 10, timeoutOffset: 0.5,
			web: &web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &no, WebConfigFile: &none},
		},
	}
	e, err := newExporter(&f, promslog.NewNopLogger())
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
	if code, body := fetch(t, "http://"+address+"/-/ready"); code != http.StatusOK {
		t.Errorf("/-/ready answers %d, %s", code, body)
	}
	hup <- os.Interrupt // whatever it is, it comes from that channel

	type answer struct {
		code int
		body string
	}
	answered := make(chan answer, 1)
	go func() {
		code, body := fetch(t, "http://"+address+"/probe?target=here")
		answered <- answer{code, body}
	}()
	for e.coordinator.InFlight() == 0 {
		time.Sleep(5 * time.Millisecond)
	}
	begun := time.Now()
	stop()
	got := <-answered
	if got.code != http.StatusOK || !strings.Contains(got.body, `portscan_scan_failed{reason="canceled"} 1`) || !strings.Contains(got.body, "\nprobe_success 0") {
		t.Errorf("the probe under way is answered with %d:\n%s", got.code, got.body)
	}
	if err := <-served; err != nil {
		t.Errorf("serving ended with %v", err)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("the end took %v, and 5s are promised", took)
	}
}

func TestServeRefusesToStart(t *testing.T) {
	noLeaks(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	good := writeConfig(t, "modules: {m: {ports: 1}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n")
	foreign := writeConfig(t, "modules: {m: {ports: 1, source_address: 192.0.2.77}}\ntargets: [{name: t, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}}]\n")
	listen := "--web.listen-address=" + taken.Addr().String()
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"address in use":       {[]string{"--config.file=" + good, listen}, exitFailure, "address already in use"},
		"no file":              {[]string{"--config.file=/nonexistent.yml"}, exitFailure, "/nonexistent.yml"},
		"foreign source":       {[]string{"--config.file=" + foreign}, exitFailure, "192.0.2.77"},
		"no host in the URL":   {[]string{"--config.file=" + good, "--web.external-url=https://:8443/ports"}, exitFailure, "--web.external-url=https://:8443/ports: write a whole URL"},
		"bad URL":              {[]string{"--config.file=" + good, "--web.external-url=exporter"}, exitFailure, "--web.external-url=exporter: write a whole URL"},
		"no interval":          {[]string{"--config.file=" + good, "--config.auto-reload-interval=0s"}, exitRefused, "write a duration above 0"},
		"bad prefix":           {[]string{"--config.file=" + good, "--web.route-prefix=/{a"}, exitFailure, "route prefix"},
		"bad flag":             {[]string{"--nonsense"}, exitRefused, "try --help"},
		"bad command":          {[]string{"sacn"}, exitRefused, "try --help"},
		"check":                {[]string{"--config.check", "--config.file=" + good}, exitOK, ""},
		"check, foreign":       {[]string{"--config.check", "--config.file=" + foreign}, exitOK, "warning: "},
		"check, no file":       {[]string{"--config.check", "--config.file=/nonexistent.yml"}, exitFailure, "error: "},
		"check, as a command":  {[]string{"serve", "--config.check", "--config.file=" + good}, exitOK, ""},
		"scan, unknown target": {[]string{"scan", "nobody", "--config.file=" + good}, exitRefused, `target "nobody" is not configured`},
		"scan, other module":   {[]string{"scan", "t", "--module=x", "--config.file=" + good}, exitRefused, `module "x" is not configured: use a module of target "t"`},
		"scan, bad ports":      {[]string{"scan", "t", "--ports=0", "--config.file=" + good}, exitRefused, "--ports: port 0 is out of range"},
		"scan, no file":        {[]string{"scan", "t", "--config.file=/nonexistent.yml"}, exitRefused, "/nonexistent.yml"},
		"scan, a typo":         {[]string{"scan", "tt", "--config.file=" + good}, exitRefused, `owner's authorization; did you mean "t"?`},
		"scan, no such output": {[]string{"scan", "t", "--output=xml", "--config.file=" + good}, exitRefused, "must be one of table,json,prometheus,textfile"},
		"unhealthy":            {[]string{"healthcheck", "--url=http://" + freeAddress(t)}, exitFailure, "asking for health"},
	} {
		var stdout, stderr bytes.Buffer
		if code := Run(tc.args, &stdout, &stderr); code != tc.code || !strings.Contains(stderr.String(), tc.want) {
			t.Errorf("%s: exit status %d, %q; want %d and %q", name, code, stderr.String(), tc.code, tc.want)
		}
	}
}

// TestScanCommand scans this machine's loopback.
func TestScanCommand(t *testing.T) {
	noLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	file := writeConfig(t, strings.ReplaceAll(`
modules: {m: {ports: "1-5", exclude_ports: 3}}
targets:
  - {name: good, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}, expect: {tcp: {open: "PORT"}}}
  - {name: bad, hosts: [127.0.0.1], modules: [m], authorization: {owner: me}, expect: {tcp: {}}}
  - {name: ended, hosts: [127.0.0.1], modules: [m], authorization: {owner: me, expires: 2020-01-01}}
`, "PORT", port))
	for name, tc := range map[string]struct {
		args []string
		code int
		want []string
	}{
		"as expected":       {[]string{"good"}, exitOK, []string{"127.0.0.1  " + port, "OPEN", "not shown of 127.0.0.1: 4 closed"}},
		"json":              {[]string{"good", "--output=json"}, exitOK, []string{`"complete":true`, `"violating":0`}},
		"json, violating":   {[]string{"bad", "--ports=" + port, "--output=json"}, exitFailure, []string{`"violating":1`}},
		"prometheus":        {[]string{"good", "--output=prometheus"}, exitOK, []string{"\nprobe_success 1\n"}},
		"textfile":          {[]string{"good", "--output=textfile", "--no-progress"}, exitOK, []string{"\nprobe_success{module=\"m\",target=\"good\"} 1\n"}},
		"all":               {[]string{"good", "--all"}, exitOK, []string{"127.0.0.1  1 ", "CLOSED"}},
		"not as expected":   {[]string{"bad", "--ports=" + port}, exitFailure, []string{"127.0.0.1  " + port}},
		"excluded for good": {[]string{"bad", "--ports=3"}, exitRefused, []string{"no port to scan is left"}},
		"ended":             {[]string{"ended"}, exitRefused, []string{"authorization for target \"ended\" expired"}},
	} {
		var out bytes.Buffer
		code := Run(append([]string{"scan", "--config.file=" + file}, tc.args...), &out, &out)
		if code != tc.code {
			t.Errorf("%s: exit status %d, want %d:\n%s", name, code, tc.code, out.String())
		}
		for _, want := range tc.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s lacks %q:\n%s", name, want, out.String())
			}
		}
	}
}
