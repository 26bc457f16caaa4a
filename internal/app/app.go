// Package app implements the commands of portscan_exporter and wires the other packages
// together.
package app

import (
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

// Exit statuses. scan uses them as documented in the README.
const (
	exitOK      = 0
	exitFailure = 1 // serve: it could not start; scan: a port is not as expected
	exitRefused = 2 // the command line is wrong; scan: refused, incomplete or failed
)

// flags are what the command line says.
type flags struct {
	configFile string
	log        promslog.Config
	serve      serveFlags
	scan       scanFlags
	health     healthFlags
}

type serveFlags struct {
	check          bool
	autoReload     bool
	reloadInterval time.Duration
	timeoutOffset  float64 // seconds
	historyLimit   int
	externalURL    string
	routePrefix    string
	pprof          bool
	auditFile      string
	stateFile      string
	web            *web.FlagConfig
}

// Run parses the command line, does what it says, and returns the exit status.
func Run(args []string, stdout, stderr io.Writer) int {
	var f flags
	app := kingpin.New("portscan_exporter", "A Prometheus exporter that watches the ports of machines that one owns or may scan.")
	app.UsageWriter(stdout)
	app.ErrorWriter(stderr)
	app.Version(version.Print("portscan_exporter"))
	app.HelpFlag.Short('h')
	app.UsageTemplate(kingpin.LongHelpTemplate) // with the flags of serve, which needs no name
	app.Flag("config.file", "The configuration file.").Default("config.yml").StringVar(&f.configFile)
	promslogflag.AddFlags(app, &f.log)
	serve := app.Command("serve", "Answer probes over HTTP (the default).").Default()
	f.serve.register(serve)
	scan := app.Command("scan", "Scan one configured target now and print its ports.")
	f.scan.register(scan, &f.configFile)
	health := app.Command("healthcheck", "Ask a running exporter whether it is healthy, for images without a shell.")
	f.health.register(health)

	command, err := app.Parse(completionArgs(app, args))
	if err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: %v, try --help\n", err)
		return exitRefused
	}
	f.log.Writer = stderr
	switch command {
	case scan.FullCommand():
		return f.runScan(stdout, stderr)
	case health.FullCommand():
		return f.health.run(stdout, stderr)
	default:
		return f.runServe(promslog.New(&f.log), stdout, stderr)
	}
}

func (f *serveFlags) register(c *kingpin.CmdClause) {
	c.Flag("config.check", "Check the configuration file and exit: 0 if it is usable, else 1.").BoolVar(&f.check)
	c.Flag("config.enable-auto-reload", "Reload the configuration when its files change.").BoolVar(&f.autoReload)
	c.Flag("config.auto-reload-interval", "How often to look whether they have.").Default("30s").DurationVar(&f.reloadInterval)
	c.Flag("timeout-offset", "Seconds to take off Prometheus's scrape timeout, so that the answer is there before it gives up.").Default("0.5").Float64Var(&f.timeoutOffset)
	c.Flag("history.limit", "How many recent probes to keep the logs of, good and failed ones each.").Default("100").IntVar(&f.historyLimit)
	f.web = kingpinflag.AddFlags(c, ":10115")
	c.Flag("web.external-url", "The URL under which Prometheus and people reach the exporter, if not as they ask (behind a proxy, say).").Default("").StringVar(&f.externalURL)
	c.Flag("web.route-prefix", "Where the exporter's paths begin. The path of --web.external-url if not given.").Default("").StringVar(&f.routePrefix)
	c.Flag("audit.file", "Write a line of JSON to this file for every scan and refusal. SIGHUP opens it anew.").Default("").StringVar(&f.auditFile)
	c.Flag("state.file", "Keep in this file what a restart is not to forget: retained results, which ports were open, changes. In memory alone if not given.").Default("").StringVar(&f.stateFile)
	c.Flag("web.enable-pprof", "Serve Go's profiles under /debug/pprof.").Default("false").BoolVar(&f.pprof)
}

func (f *flags) runServe(logger *slog.Logger, stdout, stderr io.Writer) int {
	if f.serve.reloadInterval <= 0 {
		fmt.Fprintf(stderr, "portscan_exporter: --config.auto-reload-interval=%v: write a duration above 0, such as 30s\n", f.serve.reloadInterval)
		return exitRefused
	}
	if f.serve.check {
		return checkConfig(f.configFile, stdout, stderr)
	}
	e, err := newExporter(f, logger)
	if err != nil {
		logger.Error("The exporter can't start", "err", err)
		return exitFailure
	}
	if err := e.serveUntilSignal(); err != nil {
		logger.Error("The exporter has failed", "err", err)
		return exitFailure
	}
	return exitOK
}

// parseExternalURL returns nil for an empty text.
func parseExternalURL(text string) (*url.URL, error) {
	if text == "" {
		return nil, nil //nolint:nilnil // no URL is no URL
	}
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, fmt.Errorf("--web.external-url=%s: write a whole URL, such as https://ports.example.org/exporter", text)
	}
	return u, nil
}
