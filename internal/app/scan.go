package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os/signal"
	"syscall"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/promslog"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/terminal"
)

type scanFlags struct {
	target, module, ports string
	output                string
	all, progress         bool
}

func (f *scanFlags) register(c *kingpin.CmdClause, configFile *string) {
	hints := completion{configFile: configFile, flags: f}
	c.Arg("target", "A configured target's name, or an address inside one.").Required().HintAction(hints.targets).StringVar(&f.target)
	c.Flag("module", "The module to scan with, one of the target's. Its first if not given.").HintAction(hints.modules).StringVar(&f.module)
	c.Flag("ports", "Scan these ports instead of the module's, less its exclude_ports.").StringVar(&f.ports)
	c.Flag("all", "List every port, not the notable ones alone.").BoolVar(&f.all)
	c.Flag("output", "How to print it: table, json, prometheus (as /probe answers), or textfile (for node_exporter's textfile collector).").
		Default(string(terminal.Table)).EnumVar(&f.output, terminal.Formats()...)
	c.Flag("progress", "Draw a progress bar where standard error is a terminal.").Default("true").BoolVar(&f.progress)
}

// runScan scans and prints what came of it. Exit status: 0 all as expected; 1 a port
// is not; 2 the scan was refused, incomplete or failed.
func (f *flags) runScan(stdout, stderr io.Writer) int {
	screen := terminal.NewScreen(stderr)
	f.log.Writer = screen
	report, err := f.scan.scan(f.configFile, promslog.New(&f.log), screen)
	if err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: %v\n", err)
		return exitRefused
	}
	report.Color = terminal.Colorful(stdout)
	format := terminal.Format(f.scan.output)
	if err := report.Write(stdout, format); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: %v\n", err)
		return exitRefused
	}
	if format != terminal.Table { // which has them in it
		for _, note := range report.Notes() {
			fmt.Fprintf(stderr, "portscan_exporter: %s\n", note)
		}
	}
	switch {
	case report.Violating() > 0:
		return exitFailure
	case !report.Success():
		return exitRefused
	default:
		return exitOK
	}
}

// scan carries out what the command line asks for, under the same rules as /probe.
func (f *scanFlags) scan(configFile string, logger *slog.Logger, screen *terminal.Screen) (terminal.Report, error) {
	cfg, _, err := config.Load(configFile, time.Now())
	if err != nil {
		return terminal.Report{}, err
	}
	begun := time.Now()
	selection, module, err := cfg.Authorize(f.target, f.module, begun)
	if err != nil {
		return terminal.Report{}, f.suggest(cfg, err)
	}
	task, err := f.task(selection, module)
	if err != nil {
		return terminal.Report{}, err
	}
	if task.Plan.Spec().Method == scan.SYN {
		if err := engine.CheckSYN(); err != nil {
			return terminal.Report{}, fmt.Errorf("module %s: method syn can't be used here: %w", task.Module, err)
		}
	}
	known, err := f.scanOnce(cfg, task, logger, screen)
	if err != nil {
		return terminal.Report{}, err
	}
	answer := collector.NewProbeResult(selection.Target, module, known, begun)
	answer.AllPorts = answer.AllPorts || f.all
	return terminal.Report{Asked: task.Asked, Module: module.Name, AllPorts: f.all, ProbeResult: answer}, nil
}

// task is the scan of a selection as the flags change it.
func (f *scanFlags) task(selection config.Selection, module *config.Module) (scan.Task, error) {
	task := selection.Task(module)
	task.MaxAge = 0 // it ends with this program
	spec := task.Plan.Spec()
	spec.AllPorts = spec.AllPorts || f.all
	if f.ports != "" {
		only, err := scan.ParsePortSet(f.ports)
		if err != nil {
			return scan.Task{}, fmt.Errorf("--ports: %w", err)
		}
		if spec, err = restrict(spec, only); err != nil {
			return scan.Task{}, err
		}
	}
	var err error
	if task.Plan, err = scan.NewPlan(spec); err != nil {
		return scan.Task{}, fmt.Errorf("--ports: %w: the module excludes the others", err)
	}
	return task, nil
}

// restrict has other ports scanned than the module's. Those that the module excludes
// stay excluded.
func restrict(spec scan.Spec, only scan.PortSet) (scan.Spec, error) {
	everything, err := scan.ParsePortSet("1-65535")
	if err != nil {
		return scan.Spec{}, fmt.Errorf("--ports: %w", err)
	}
	spec.Ports = only
	spec.Exclude = spec.Exclude.Union(everything.Minus(only))
	return spec, nil
}

// errInterrupted is why a scan is incomplete that somebody has ended.
var errInterrupted = errors.New("it was interrupted")

// scanOnce carries one task out. Ctrl-C ends it with what is known by then; a second
// one ends the program.
func (f *scanFlags) scanOnce(cfg *config.Config, task scan.Task, logger *slog.Logger, screen *terminal.Screen) (coordinator.Answer, error) {
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		return coordinator.Answer{}, fmt.Errorf("making the budget: %w", err)
	}
	var tally terminal.Tally
	scans, err := newScans(budget, coordinator.Options{Logger: logger}, tally.Watch)
	if err != nil {
		return coordinator.Answer{}, err
	}
	defer scans.Close()
	applyLimits(cfg, budget, scans)
	interrupted, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(interrupted, stop)
	deadline := time.Now().Add(task.Plan.Spec().Timeout)
	ctx, cancel := context.WithDeadline(interrupted, deadline)
	defer cancel()
	if f.progress {
		hide := screen.Show(task.Asked, &tally, deadline)
		defer hide()
	}
	known, err := scans.Scan(ctx, task)
	if err != nil {
		return coordinator.Answer{}, err
	}
	known.Result = sayInterrupted(known.Result)
	return known, nil
}

// sayInterrupted has a result say so in words for a person.
func sayInterrupted(r *scan.Result) *scan.Result {
	if r.Failed[scan.FailedCanceled] == nil {
		return r
	}
	said := *r
	said.Failed = maps.Clone(r.Failed)
	said.Failed[scan.FailedCanceled] = errInterrupted
	return &said
}
