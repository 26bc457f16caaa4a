// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

// Command portscan_exporter is a Prometheus exporter that scans TCP and UDP ports of
// hosts that its user owns.
package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"
	promslogflag "github.com/prometheus/common/promslog/flag"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"portscan_exporter/internal/app"
	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/terminal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// options are the flags and arguments of all commands.
type options struct {
	configFile string
	logging    promslog.Config
	serve      app.ServeOptions
	scan       app.ScanOptions
	health     app.HealthcheckOptions
}

// run parses the command line, runs its command, and returns the exit status.
func run(args []string, stdout, stderr io.Writer) int {
	messages := printable.NewWriter(stderr) // log and errors
	o := options{logging: promslog.Config{Writer: messages}}
	a := newParser(&o, stdout, messages)
	command, err := a.Parse(completionArgs(a, args))
	if err != nil {
		fmt.Fprintf(messages, "portscan_exporter: %v, try --help\n", err)
		return app.ExitRefused
	}
	o.serve.ConfigFile, o.scan.ConfigFile = o.configFile, o.configFile
	switch command {
	case "scan":
		return app.Scan(o.scan, o.logging, stdout, stderr)
	case "healthcheck":
		return app.Healthcheck(o.health, stdout, messages)
	default:
		return app.Serve(o.serve, promslog.New(&o.logging), stdout, messages)
	}
}

// newParser returns the parser of the command line, which sets o.
func newParser(o *options, stdout, stderr io.Writer) *kingpin.Application {
	a := kingpin.New("portscan_exporter", "Prometheus exporter that scans TCP and UDP ports of hosts you own.")
	a.UsageWriter(stdout)
	a.ErrorWriter(stderr)
	a.Version(version.Print("portscan_exporter"))
	a.HelpFlag.Short('h')
	a.UsageTemplate(usageTemplate).UsageFuncs(template.FuncMap{"OmitVariables": omitVariables})
	a.Flag("config.file", "Configuration file.").Default("config.yml").StringVar(&o.configFile)
	promslogflag.AddFlags(a, &o.logging)
	serveFlags(a.Command("serve", "Serve probes over HTTP (default command).").Default(), &o.serve)
	scanFlags(a.Command("scan", "Scan one configured target and print its ports."), &o.scan, &o.configFile)
	healthcheckFlags(a.Command("healthcheck", "Check the health of a running exporter."), &o.health)
	return a
}

func serveFlags(c *kingpin.CmdClause, o *app.ServeOptions) {
	c.Flag("config.check", "Check the configuration and exit with 0 if it is valid.").BoolVar(&o.CheckOnly)
	c.Flag("config.enable-auto-reload", "Reload the configuration when its files change.").BoolVar(&o.AutoReload)
	c.Flag("config.auto-reload-interval", "Interval between configuration file checks.").Default("30s").DurationVar(&o.ReloadInterval)
	c.Flag("timeout-offset", "Seconds to subtract from Prometheus's scrape timeout.").Default("0.5").Float64Var(&o.TimeoutOffset)
	c.Flag("history.limit", "Number of successful and of failed probe logs to keep.").Default("100").IntVar(&o.HistoryLimit)
	c.Flag("audit.file", "File to which scans, probes and refusals are appended as JSON lines.").Default("").StringVar(&o.AuditFile)
	c.Flag("state.file", "File that persists results and port history across restarts.").Default("").StringVar(&o.StateFile)
	webFlags(c, &o.WebOptions)
	c.Flag("web.max-connections", "Maximum number of open connections.").Default("512").IntVar(&o.MaxConnections)
	c.Flag("web.enable-pprof", "Serve Go profiles under /debug/pprof.").Default("false").BoolVar(&o.Pprof)
}

// webFlags adds the flags with which serve listens and healthcheck finds it. In a
// container, both read the same environment.
func webFlags(c *kingpin.CmdClause, o *app.WebOptions) {
	o.Web = kingpinflag.AddFlags(c, ":10115")
	c.GetFlag("web.listen-address").Help("Address to listen on, for example :9000 or [::1]:9000. Repeatable.")
	c.GetFlag("web.config.file").Help("File with the settings of TLS and passwords.")
	c.Flag("web.health-listen-address", "Address of a plain HTTP listener only for health checks.").Default("").StringVar(&o.HealthListenAddress)
	c.Flag("web.external-url", "URL under which the exporter is reachable, for example behind a proxy.").Default("").StringVar(&o.ExternalURL)
	c.Flag("web.route-prefix", "Prefix of all HTTP paths. Default: path of --web.external-url.").Default("").StringVar(&o.RoutePrefix)
	readEnvironment(c, "PORTSCAN_", "web.listen-address", "web.config.file", "web.health-listen-address", "web.external-url", "web.route-prefix")
}

func healthcheckFlags(c *kingpin.CmdClause, o *app.HealthcheckOptions) {
	c.Flag("url", "URL to request. Default: derived from the flags --web.*.").Default("").StringVar(&o.URL)
	c.Flag("ca-file", "File with certificates of trusted authorities.").Default("").StringVar(&o.CAFile)
	c.Flag("insecure-skip-verify", "Accept any server certificate.").BoolVar(&o.InsecureSkipVerify)
	c.Flag("username", "User for basic authentication.").Default("").StringVar(&o.Username)
	c.Flag("password-file", "File with the password of --username.").Default("").StringVar(&o.PasswordFile)
	readEnvironment(c, "PORTSCAN_HEALTHCHECK_", "url", "ca-file", "insecure-skip-verify", "username", "password-file")
	webFlags(c, &o.WebOptions)
}

// readEnvironment sets the defaults of flags from environment variables. For example,
// PORTSCAN_WEB_LISTEN_ADDRESS is that of --web.listen-address.
func readEnvironment(c *kingpin.CmdClause, prefix string, flags ...string) {
	for _, name := range flags {
		c.GetFlag(name).Envar(prefix + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name)))
	}
}

func scanFlags(c *kingpin.CmdClause, o *app.ScanOptions, configFile *string) {
	hints := app.Hints{ConfigFile: configFile, Target: &o.Target}
	c.Arg("target", "Name of a configured target, or an address inside one.").Required().HintAction(hints.Targets).StringVar(&o.Target)
	c.Flag("module", "Module of the target to scan with. Default: its first.").HintAction(hints.Modules).StringVar(&o.Module)
	c.Flag("ports", "Ports to scan in place of the module's and the expected ones.").HintOptions("all", "top-100", "top-1000").StringVar(&o.Ports)
	c.Flag("all", "List every port, not only notable ones.").BoolVar(&o.AllPorts)
	c.Flag("output", "Output format: "+strings.Join(terminal.Formats(), ", ")+".").
		Default(string(terminal.Table)).EnumVar(&o.Output, terminal.Formats()...)
	c.Flag("audit.file", "File to which the scan is appended as a JSON line.").Default("").StringVar(&o.AuditFile)
	c.Flag("progress", "Draw a progress bar on a terminal.").Default("true").BoolVar(&o.Progress)
}

// omitVariables returns flags without their environment variables.
func omitVariables(flags []*kingpin.FlagModel) (short []*kingpin.FlagModel) {
	for _, f := range flags {
		c := *f
		c.Envar = ""
		short = append(short, &c)
	}
	return short
}

// usageTemplate fits the help of every command on one screen. Without a command it
// lists the flags of serve, which needs no name, without environment variables.
const usageTemplate = `usage: {{.App.Name}} {{with .Context.SelectedCommand}}{{.FullCommand}} {{end}}[<flags>]
{{- if .Context.SelectedCommand}}{{range .Context.SelectedCommand.Args}} <{{.Name}}>{{end}}

{{.Context.SelectedCommand.Help}}
{{else}} [<command>]

{{.App.Help}}

Commands (help: {{.App.Name}} <command> --help):
{{range .App.Commands}}{{if ne .Name "help"}}  {{printf "%-13s" .Name}}{{.Help}}
{{end}}{{end}}{{end}}
Flags:
{{.Context.Flags|FlagsToTwoColumns|FormatTwoColumns -}}
{{if not .Context.SelectedCommand}}{{range .App.Commands}}{{if .Default}}
Flags of {{.Name}}:
{{.Flags|OmitVariables|FlagsToTwoColumns|FormatTwoColumns}}{{end}}{{end}}{{end -}}
{{if .Context.Args}}
Arguments:
{{.Context.Args|ArgsToTwoColumns|FormatTwoColumns}}{{end -}}
`

// completionArgs returns a command line that the shell wants completed in the form that
// kingpin parses. Bash splits --flag=value into three words. And kingpin takes a half
// typed command for an argument of the default command, which has no arguments: without
// that word it lists all commands, from which the shell selects.
func completionArgs(a *kingpin.Application, args []string) []string {
	if len(args) == 0 || args[0] != "--completion-bash" {
		return args
	}
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "=" })
	last := len(args) - 1
	flag := strings.HasPrefix(args[last], "-")
	value := last > 1 && strings.HasPrefix(args[last-1], "-") && !strings.Contains(args[last-1], "=")
	command := slices.ContainsFunc(args[:last], func(arg string) bool { return a.GetCommand(arg) != nil })
	if flag || value || command {
		return args
	}
	return args[:1]
}
