// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// checkHealth runs healthcheck, which must return the status and print the text. It must not print
// the password.
func checkHealth(t *testing.T, status int, text string, args ...string) {
	t.Helper()
	o := runExporter(t, append([]string{"healthcheck"}, args...)...)
	if o.status != status || !strings.Contains(o.stdout+o.stderr, text) || strings.Contains(o.stdout+o.stderr, healthPassword) {
		t.Errorf("healthcheck %q = %d, want %d and %q\nstdout: %s\nstderr: %s", args, o.status, status, text, o.stdout, o.stderr)
	}
	if lines := strings.Count(o.stderr, "\n"); status != 0 && lines != 1 {
		t.Errorf("healthcheck %q prints %d lines, want 1:\n%s", args, lines, o.stderr)
	}
}

const healthUser, healthPassword = "prom", "correct horse"

func TestHealthcheckAddress(t *testing.T) {
	t.Parallel()
	e := startExporter(t, targetsConfig("own"))
	_, port, _ := strings.Cut(e.addr, ":")
	checkHealth(t, 0, "Healthy", "--url="+e.url+"/-/healthy")
	checkHealth(t, 0, "Healthy", "--web.listen-address="+e.addr)
	checkHealth(t, 0, "Healthy", "--web.listen-address=vsock://:1", "--web.listen-address=:"+port)
	checkHealth(t, 1, "status 404 Not Found", "--url="+e.url+"/no-such-path")
	checkHealth(t, 1, "status 404 Not Found", "--web.listen-address="+e.addr, "--web.route-prefix=/ports")
	checkHealth(t, 1, "connection refused", "--web.listen-address="+freeAddress(t))
	checkHealth(t, 1, "--url: invalid URL: write", "--url=http://"+healthUser+":"+healthPassword+"@:x/")
	checkHealth(t, 1, "no TLS: write --url with http", "--url=https://"+e.addr)
	checkHealth(t, 1, "--web.systemd-socket: unknown address: write --url=", "--web.systemd-socket")
	checkHealth(t, 2, "try --help", "--no-such-flag")
}

func TestHealthcheckPrefix(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--web.route-prefix=/ports/", "--web.external-url=https://ports.example.org/ports"} {
		e := startExporterUnready(t, targetsConfig("own"), flag)
		e.url = "http://" + e.addr + "/ports"
		e.awaitReady(t)
		checkHealth(t, 0, "Healthy", "--web.listen-address="+e.addr, flag)
		checkHealth(t, 1, "status 404 Not Found: write --web.route-prefix", "--web.listen-address="+e.addr)
	}
}

// TestHealthcheckEnvironment sets the flags of the exporter and of the check by one environment.
func TestHealthcheckEnvironment(t *testing.T) {
	t.Parallel()
	addr := freeAddress(t)
	env := []string{"PORTSCAN_WEB_LISTEN_ADDRESS=" + freeAddress(t) + "\n" + addr, "PORTSCAN_WEB_ROUTE_PREFIX=/ports"}
	command := func(args ...string) *exec.Cmd {
		return exec.Command(needProgram(t, "env"), slices.Concat(env, []string{binary(t)}, args)...)
	}
	e := &exporter{addr: addr, url: "http://" + addr + "/ports"}
	e.process = startCommand(t, command("--config.file="+writeFile(t, "config.yml", targetsConfig("own"))))
	e.awaitReady(t)
	if out, err := command("healthcheck").CombinedOutput(); err != nil || string(out) != "Healthy\n" {
		t.Errorf("healthcheck = %q, %v, want Healthy", out, err)
	}
	if out, err := command("healthcheck", "--web.route-prefix=/other").CombinedOutput(); err == nil || !strings.Contains(string(out), "status 404") {
		t.Errorf("healthcheck with another prefix = %q, %v, want status 404", out, err)
	}
}

// TestHealthcheckOtherServer checks that no redirect and no proxy leads to another server, which
// would be healthy.
func TestHealthcheckOtherServer(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the other server got a request for %s", r.URL)
	}))
	defer other.Close()
	redirecting := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer redirecting.Close()
	checkHealth(t, 1, "status 302 Found: write --url with the target of the redirect", "--url="+redirecting.URL)

	// 0.0.0.0 leads to this machine, but is not a loopback address, for which no proxy is used.
	_, port, _ := strings.Cut(freeAddress(t), ":")
	cmd := exec.Command(binary(t), "healthcheck", "--url=http://0.0.0.0:"+port)
	cmd.Env = append(cmd.Environ(), "HTTP_PROXY="+other.URL, "http_proxy="+other.URL)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "connection refused") {
		t.Errorf("healthcheck with a proxy = %q, %v, want connection refused", out, err)
	}
}

func TestHealthcheckTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _ := writeServerCertificate(t)
	web := "--web.config.file=" + writeWebConfig(t, certFile, keyFile, healthUser, healthPassword)
	e := startExporterUnready(t, targetsConfig("own"), web)
	e.url = "https://" + e.addr
	e.awaitListener(t)

	ca, user := "--ca-file="+certFile, "--username="+healthUser
	password := "--password-file=" + writeFile(t, "password", healthPassword+"\n")
	wrong := "--password-file=" + writeFile(t, "wrong", "wrong")
	listen, healthy := "--web.listen-address="+e.addr, "--url="+e.url+"/-/healthy"
	checkHealth(t, 0, "Healthy", listen, web, ca, user, password)
	checkHealth(t, 0, "Healthy", listen, web, "--insecure-skip-verify", user, password)
	checkHealth(t, 0, "Healthy", healthy, ca, user, password)
	checkHealth(t, 0, "Healthy", fmt.Sprintf("--url=https://%s:%s@%s/-/healthy", healthUser, "correct%20horse", e.addr), ca)
	checkHealth(t, 1, "status 400 Bad Request: write --url with https", listen, user, password)
	checkHealth(t, 1, "basic_auth_users: no user for the health check: write --username=NAME", listen, web, ca)
	checkHealth(t, 1, "--username: no password: write --password-file=FILE", listen, web, ca, user)
	checkHealth(t, 1, "--password-file: no user: write --username=NAME", healthy, ca, password)
	checkHealth(t, 1, "certificate of an unknown authority: write --ca-file=FILE", listen, web, user, password)
	checkHealth(t, 1, "status 401 Unauthorized: write --username=NAME", listen, web, ca, user, wrong)
	checkHealth(t, 1, "status 401 Unauthorized", healthy, ca)
	checkHealth(t, 1, "certificate is for other names: write --url", fmt.Sprintf("--url=https://localhost%s/", e.addr[len("127.0.0.1"):]), ca)
	checkHealth(t, 1, "connection refused", fmt.Sprintf("--url=https://%s:correct%%20horse@%s/", healthUser, freeAddress(t)), ca)

	fifo := writeFile(t, "unused", "") + ".fifo"
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	checkHealth(t, 1, fifo+" is a FIFO", healthy, ca, user, "--password-file="+fifo)
	checkHealth(t, 1, "/dev/zero is a device", healthy, "--ca-file=/dev/zero")
	checkHealth(t, 1, "no certificate found: write", healthy, "--ca-file="+keyFile)
	checkHealth(t, 1, "empty file: write the password into it", healthy, ca, user, "--password-file="+writeFile(t, "empty", "\n"))
}

// TestHealthListenerMutualTLS checks the health of an exporter that demands client certificates.
func TestHealthListenerMutualTLS(t *testing.T) {
	t.Parallel()
	certFile, keyFile, _ := writeServerCertificate(t)
	web := "--web.config.file=" + writeFile(t, "web.yml", fmt.Sprintf(
		"tls_server_config: {cert_file: %s, key_file: %s, client_auth_type: RequireAndVerifyClientCert, client_ca_file: %s}\n",
		certFile, keyFile, newAuthority(t).writeCertificate(t)))
	addr := freeAddress(t)
	health := "--web.health-listen-address=" + addr
	e := startExporterUnready(t, targetsConfig("own"), web, health, "--web.route-prefix=/ports")
	e.awaitListener(t)

	listen := "--web.listen-address=" + e.addr
	checkHealth(t, 0, "Healthy", listen, web, health)
	checkHealth(t, 1, "client_auth_type: server demands a client certificate: write --web.health-listen-address=", listen, web)
	checkHealth(t, 1, "server demands a client certificate: write --web.health-listen-address=", "--url=https://"+e.addr, "--ca-file="+certFile)
	for path, want := range map[string]int{
		"/-/healthy": 200, "/-/ready": 200, "/": 404, "/metrics": 404, "/probe?target=own": 404, "/sd": 404,
		"/config": 404, "/-/reload": 404, "/ports/-/healthy": 404, "/debug/pprof/": 404, "//-/healthy": 400,
	} {
		wantStatus(t, "http://"+addr+path, want)
	}
	if a, err := request("POST", "http://"+addr+"/-/healthy"); err != nil || a.status != http.StatusMethodNotAllowed {
		t.Errorf("POST /-/healthy = %d, %v, want 405", a.status, err)
	}
}

// TestHealthListenerShutdown checks that the listener reports the shutdown until the last probe is
// answered.
func TestHealthListenerShutdown(t *testing.T) {
	t.Parallel()
	addr := freeAddress(t)
	e := startExporter(t, slowConfig("20s"), "--web.health-listen-address="+addr)
	probe := startProbe(e)
	awaitScan(t, e)
	idle := connect(t, addr)
	wantStatus(t, "http://"+addr+"/-/ready", http.StatusOK)

	since := e.terminate(t)
	eventually(t, time.Second, "the health listener reports the shutdown", func() error {
		return checkStatus("http://"+addr+"/-/ready", http.StatusServiceUnavailable)
	})
	wantStatus(t, "http://"+addr+"/-/healthy", http.StatusOK)
	if r := <-probe; r.err != nil || r.status != http.StatusOK {
		t.Errorf("running probe got %d, %v, want 200: %s", r.status, r.err, r.body)
	}
	e.checkEndsWithin(t, maxShutdown, since)
	_ = idle.Close()
}

// TestHealthListenerConnectionLimit opens more connections than the health listener accepts. Other
// listeners are not affected, and health checks work again afterwards.
func TestHealthListenerConnectionLimit(t *testing.T) {
	t.Parallel()
	const limit, clients = 64, 200
	addr := freeAddress(t)
	e := startExporter(t, targetsConfig("own"), "--web.health-listen-address="+addr)
	before := e.scrapeMetrics(t)["process_open_fds"]
	conns := make([]net.Conn, clients)
	for i := range conns {
		conns[i] = connect(t, addr)
		if _, err := io.WriteString(conns[i], halfRequest); err != nil {
			t.Fatal(err)
		}
	}
	const other = 10 // descriptors of connections to the first listener
	if after := e.scrapeMetrics(t)["process_open_fds"]; after > before+limit+other {
		t.Errorf("%d clients raise the descriptors from %v to %v, want at most %d more", clients, before, after, limit+other)
	}
	for _, c := range conns {
		_ = c.Close()
	}
	eventually(t, 20*time.Second, "health checks are answered", func() error { return checkStatus("http://"+addr+"/-/healthy", 200) })
}

func TestHealthListenerAddressRefused(t *testing.T) {
	t.Parallel()
	config := "--config.file=" + writeFile(t, "config.yml", targetsConfig("own"))
	free, taken := freeAddress(t), freeAddress(t)
	listenOn(t, taken)
	for address, want := range map[string]string{
		free:                             "same port as --web.listen-address=" + free + ": write another port",
		free[len("127.0.0.1"):]:          "same port as --web.listen-address=" + free + ": write another port",
		"[::]" + free[len("127.0.0.1"):]: "same port as --web.listen-address=" + free + ": write another port",
		taken:                            "listen tcp " + taken + ": bind: address already in use",
		"10116":                          "invalid address: write HOST:PORT",
	} {
		o := runExporter(t, config, "--web.listen-address="+free, "--web.health-listen-address="+address)
		o.wantStatus(t, 1)
		o.wantOutput(t, "--web.health-listen-address="+address+": "+want)
	}
}
