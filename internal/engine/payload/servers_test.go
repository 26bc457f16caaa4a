// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	xquic "golang.org/x/net/quic"

	"portscan_exporter/internal/testnet"
)

// serverTimeout is the maximum time for a server to start and answer.
const serverTimeout = 10 * time.Second

// server is a program to test payloads with. In args and files, PORT is its port on
// 127.0.0.1, DIR its directory and USER its user. It must not contact other servers.
type server struct {
	program string
	args    string
	files   map[string]string
	answers map[string]func(reply []byte) bool
}

func hasPrefix(prefix string) func([]byte) bool {
	return func(reply []byte) bool { return bytes.HasPrefix(reply, []byte(prefix)) }
}

func contains(part string) func([]byte) bool {
	return func(reply []byte) bool { return bytes.Contains(reply, []byte(part)) }
}

func servers() map[string]server {
	return map[string]server{
		"memcached": {
			program: "memcached",
			args:    "-u nobody -l 127.0.0.1 -p 0 -U PORT",
			answers: map[string]func([]byte) bool{"memcached": contains("VERSION ")},
		},
		// Its upstream server does not exist, so it answers by itself.
		"dnsmasq": {
			program: "dnsmasq",
			args: "--keep-in-foreground --user=USER --conf-file=DIR/conf --no-resolv --server=127.0.0.1#9 --port=PORT " +
				"--listen-address=127.0.0.1 --bind-interfaces --pid-file= --no-hosts --addn-hosts=DIR/hosts",
			files:   map[string]string{"conf": "", "hosts": "127.0.0.1 localhost\n"},
			answers: map[string]func([]byte) bool{"dns": contains("\x09localhost\x00")},
		},
		"unbound": {
			program: "unbound",
			args:    "-d -p -c DIR/conf",
			files: map[string]string{"conf": `server:
 interface: 127.0.0.1@PORT
 do-daemonize: no
 use-syslog: no
 chroot: ""
 username: ""
 directory: "DIR"
forward-zone:
 name: "."
 forward-addr: 127.0.0.1@9
remote-control:
 control-enable: no
`},
			answers: map[string]func([]byte) bool{"dns": contains("\x09localhost\x00")},
		},
		"chronyd": {
			program: "chronyd",
			args:    "-d -x -U -u USER -f DIR/conf",
			files: map[string]string{"conf": `port PORT
bindaddress 127.0.0.1
bindcmdaddress /
cmdport 0
allow 127.0.0.1
local stratum 10
pidfile DIR/pid
`},
			answers: map[string]func([]byte) bool{"ntp": func(reply []byte) bool {
				// Mode 4, with the origin timestamp of the request.
				return len(reply) == 48 && reply[0]&7 == 4 && string(reply[24:32]) == "portscan"
			}},
		},
		"snmpd": {
			program: "snmpd",
			args:    "-f -Lo -C -c DIR/conf -I -smux -p DIR/pid udp:127.0.0.1:PORT",
			files:   map[string]string{"conf": "rocommunity public 127.0.0.1\n[snmp] persistentDir DIR\n"},
			answers: map[string]func([]byte) bool{
				"snmpv1":  contains("\x06public\xa2"),
				"snmpv2c": contains("\x06public\xa2"),
				// A Report, about usmStatsUnknownEngineIDs.
				"snmpv3": contains("\x06\x0a\x2b\x06\x01\x06\x03\x0f\x01\x01\x04\x00"),
			},
		},
		"atftpd": {
			program: "atftpd",
			args:    "--daemon --no-fork --logfile - --bind-address 127.0.0.1 --port PORT DIR",
			answers: map[string]func([]byte) bool{"tftp": hasPrefix("\x00\x05")},
		},
		"turnserver": {
			program: "turnserver",
			args: "-n --listening-ip=127.0.0.1 --relay-ip=127.0.0.1 --listening-port=PORT --no-tls --no-dtls --no-cli " +
				"--log-file=stdout --pidfile=DIR/pid --userdb=DIR/db",
			answers: map[string]func([]byte) bool{"stun": hasPrefix("\x01\x01")},
		},
		"coap-server": {
			program: "coap-server-notls",
			args:    "-A 127.0.0.1 -p PORT",
			// An acknowledgment with 2.05, of one block.
			answers: map[string]func([]byte) bool{"coap": func(reply []byte) bool {
				return hasPrefix("\x60\x45po")(reply) && len(reply) < 40
			}},
		},
		"openssl": {
			program: "openssl",
			args:    "s_server -dtls1_2 -listen -accept 127.0.0.1:PORT -nocert -psk 00 -quiet",
			// HelloVerifyRequest, in the first record.
			answers: map[string]func([]byte) bool{"dtls": func(reply []byte) bool {
				return hasPrefix("\x16\xfe")(reply) && len(reply) > 13 && reply[13] == 3
			}},
		},
		"freeradius": {
			program: "freeradius",
			args:    "-f -l stdout -d DIR -n radiusd",
			files: map[string]string{"radiusd.conf": `run_dir = DIR
db_dir = DIR
security {
 status_server = yes
}
client localhost {
 ipaddr = 127.0.0.1
 secret = testing123
}
server default {
 listen {
  type = auth
  ipaddr = 127.0.0.1
  port = PORT
 }
 authorize {
 }
 authenticate {
 }
}
`, "dictionary": ""},
			answers: map[string]func([]byte) bool{"radius": hasPrefix("\x02p")},
		},
	}
}

func TestServersAnswer(t *testing.T) {
	t.Parallel()
	all := payloadsByName(t)
	for name, s := range servers() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			to := s.start(t)
			for name, is := range s.answers {
				reply := ask(t, to, all[name])
				if !is(reply) {
					t.Errorf("unexpected answer to %s: %q", name, reply)
				}
			}
		})
	}
}

// TestQUICServerAnswers expects a Version Negotiation packet (RFC 9000 section
// 17.2.1).
func TestQUICServerAnswers(t *testing.T) {
	config := &xquic.Config{TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13}}
	e, err := xquic.Listen("udp", "127.0.0.1:0", config)
	if err != nil {
		t.Fatal(err)
	}
	// The context has ended by then, so Close does not wait.
	t.Cleanup(func() { e.Close(t.Context()) })
	reply := ask(t, e.LocalAddr(), payloadsByName(t)["quic"])
	if len(reply) < 5 || reply[0]&0x80 == 0 || !bytes.Equal(reply[1:5], make([]byte, 4)) || !bytes.HasSuffix(reply, []byte{0, 0, 0, 1}) {
		t.Errorf("answer = %x, want a Version Negotiation packet", reply)
	}
}

// start starts the server until the end of the test.
func (s server) start(t *testing.T) netip.AddrPort {
	t.Helper()
	testnet.NeedProgram(t, s.program, "timeout")
	to, dir := freePort(t), t.TempDir()
	user := "nobody"
	if os.Getuid() == 0 {
		user = "root"
	}
	r := strings.NewReplacer("PORT", strconv.Itoa(int(to.Port())), "DIR", dir, "USER", user)
	for name, content := range s.files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(r.Replace(content)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	// If the test process is killed, the server ends by itself.
	args := append([]string{"--kill-after=2", "60", s.program}, strings.Fields(r.Replace(s.args))...)
	var output bytes.Buffer
	cmd := exec.Command("timeout", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &output, &output
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// timeout forwards the signal to the server and waits for it.
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Errorf("%v ended early", s.program)
		}
		cmd.Wait()
		if t.Failed() {
			t.Logf("%s\n%s", strings.Join(cmd.Args, " "), output.String())
		}
	})
	return to
}

// freePort returns an unused port of 127.0.0.1.
func freePort(t *testing.T) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort()
}

// ask sends a payload until the server has started and answers.
func ask(t *testing.T, to netip.AddrPort, p Payload) []byte {
	t.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buffer := make([]byte, 65_535)
	for start := time.Now(); time.Since(start) < serverTimeout; {
		if _, err := c.WriteToUDPAddrPort(p.Data, to); err != nil {
			t.Fatal(err)
		}
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		n, from, err := c.ReadFromUDPAddrPort(buffer)
		if err != nil {
			continue
		}
		reply := buffer[:n]
		if otherPort := from.Port() != to.Port(); otherPort != p.AcceptsFromOtherPort(reply) {
			t.Errorf("%v at port %d: unexpected answer from %v: %q", p.Name, to.Port(), from, reply)
		}
		return reply
	}
	t.Fatal(fmt.Errorf("no answer to %s within %v", p.Name, serverTimeout))
	return nil
}
