// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

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

	"github.com/prometheus/common/promslog"

	"portscan_exporter/collector"
	"portscan_exporter/internal/audit"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
	"portscan_exporter/internal/engine"
	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/privilege"
	"portscan_exporter/internal/resolve"
	"portscan_exporter/internal/scan"
	"portscan_exporter/internal/store"
	"portscan_exporter/internal/terminal"
)

// ScanOptions are the flags and the argument of the scan command.
type ScanOptions struct {
	ConfigFile string
	Target     string // a target's name, or an address inside one
	Module     string // empty: the target's first
	Ports      string // empty: the module's
	AllPorts   bool   // list every port
	Output     string // a [terminal.Format]
	Progress   bool
	AuditFile  string // empty: no audit
}

// Scan scans a target, prints the result, and returns the exit status. On a terminal
// the log appears above the progress bar.
func Scan(o ScanOptions, logging promslog.Config, stdout, stderr io.Writer) int {
	screen := terminal.NewScreen(stderr)
	messages := printable.NewWriter(screen)
	logging.Writer = messages
	logger := promslog.New(&logging)
	dropPrivileges(logger, privilege.Drop)
	return o.run(logger, screen, stdout, messages)
}

// run is [Scan] with the privileges of the process.
func (o ScanOptions) run(logger *slog.Logger, screen *terminal.Screen, stdout, messages io.Writer) int {
	report, err := o.scan(logger, screen)
	if err == nil {
		report.Color = terminal.Colorful(stdout)
		err = report.Write(stdout, terminal.Format(o.Output))
	}
	if err != nil {
		fmt.Fprintf(messages, "portscan_exporter: %v\n", err)
		return ExitRefused
	}
	if terminal.Format(o.Output) != terminal.Table { // the table contains the notes
		for _, note := range report.Notes() {
			fmt.Fprintf(messages, "portscan_exporter: %s\n", note)
		}
	}
	switch {
	case report.CountViolations() > 0:
		return ExitFailure
	case !report.Success():
		return ExitRefused
	default:
		return ExitOK
	}
}

// scan scans by the same rules as /probe.
func (o ScanOptions) scan(logger *slog.Logger, screen *terminal.Screen) (terminal.Report, error) {
	cfg, _, err := config.Load(o.ConfigFile, time.Now())
	if err != nil {
		return terminal.Report{}, err
	}
	started := time.Now()
	names, err := newResolver()
	if err != nil {
		return terminal.Report{}, err
	}
	selection, module, refusal := cfg.Authorize(context.Background(), names, o.Target, o.Module, started)
	unresolved, ok := errors.AsType[*config.UnresolvedError](refusal)
	if refusal != nil && !ok {
		return terminal.Report{}, suggestName(cfg, o.Target, o.Module, refusal)
	}
	task, err := o.task(selection, module)
	if err != nil {
		return terminal.Report{}, err
	}
	answer, err := o.scanOnce(cfg, task, names, unresolved, logger, screen)
	if err != nil {
		return terminal.Report{}, err
	}
	result := collector.NewProbeResult(selection.Target, module, answer, started)
	result.AllPorts = result.AllPorts || o.AllPorts
	return terminal.Report{Asked: task.Asked, Module: module.Name, ListAll: o.AllPorts, ProbeResult: result}, nil
}

// task returns the scan of a selection as the flags change it.
func (o ScanOptions) task(selection config.Selection, module *config.Module) (scan.Task, error) {
	task := selection.Task(module)
	task.MaxAge = 0 // it ends with this program
	spec := task.Plan.Spec()
	spec.AllPorts = spec.AllPorts || o.AllPorts
	if o.Ports != "" {
		only, err := config.NewPortParser().Parse(spec.Protocol, o.Ports)
		if err != nil {
			return scan.Task{}, fmt.Errorf("--ports: %w", err)
		}
		if spec, err = replacePorts(spec, only); err != nil {
			return scan.Task{}, err
		}
	}
	var err error
	if task.Plan, err = scan.NewPlan(spec); err != nil {
		return scan.Task{}, fmt.Errorf("--ports: %w: the module excludes the others", err)
	}
	return task.ResetDigest(), nil
}

// replacePorts replaces the module's ports. Those that the module excludes stay
// excluded.
func replacePorts(spec scan.Spec, only scan.PortSet) (scan.Spec, error) {
	all, err := scan.ParsePortSet("1-65535")
	if err != nil {
		return scan.Spec{}, fmt.Errorf("--ports: %w", err)
	}
	spec.Ports = only
	spec.Exclude = spec.Exclude.Union(all.Minus(only))
	return spec, nil
}

// errInterrupted is the cause of a scan that a signal ended.
var errInterrupted = errors.New("interrupted")

// scanOnce carries out one task. Ctrl-C ends it with the ports known so far; a second
// one ends the program. A task that depends on an unresolved name fails.
func (o ScanOptions) scanOnce(cfg *config.Config, task scan.Task, names *resolve.Resolver, unresolved *config.UnresolvedError, logger *slog.Logger, screen *terminal.Screen) (coordinator.Answer, error) {
	if err := checkEngine(task, logger); err != nil {
		return coordinator.Answer{}, err
	}
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		return coordinator.Answer{}, fmt.Errorf("making the budget: %w", err)
	}
	log, err := o.openAudit(logger)
	if err != nil {
		return coordinator.Answer{}, err
	}
	defer log.Close()
	var tally terminal.Tally
	results, err := store.New(slog.New(slog.DiscardHandler)) // one scan changes no port's state
	if err != nil {
		return coordinator.Answer{}, fmt.Errorf("making the store: %w", err)
	}
	scans, err := newScans(budget, coordinator.Options{
		Resolver: names, Logger: logger, Store: results, Observe: func(event coordinator.Event) { log.Scan(newAuditScan(event)) },
	}, tally.Watch)
	if err != nil {
		return coordinator.Answer{}, err
	}
	defer scans.Close()
	if unresolved != nil {
		return scans.FailScan(task, coordinator.Client{}, time.Now(), scan.FailedDNS, unresolved), nil
	}
	applyLimits(cfg, budget, scans, 0)
	interrupted, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	context.AfterFunc(interrupted, stop)
	deadline := time.Now().Add(task.Plan.Spec().Timeout)
	ctx, cancel := context.WithDeadline(interrupted, deadline)
	defer cancel()
	if o.Progress {
		hide := screen.Show(task.Asked, &tally, deadline)
		defer hide()
	}
	answer, err := scans.Scan(ctx, task, coordinator.Client{})
	if err != nil {
		return coordinator.Answer{}, err
	}
	answer.Result = explainInterrupt(answer.Result)
	return answer, nil
}

// checkEngine returns an error if this host cannot carry out the scan, and logs what it cannot
// distinguish.
func checkEngine(task scan.Task, logger *slog.Logger) error {
	switch spec := task.Plan.Spec(); {
	case spec.Method == scan.SYN:
		if err := engine.CheckSYN(); err != nil {
			return fmt.Errorf("module %s: cannot use method syn: %w", task.Module, err)
		}
	case spec.Protocol == scan.TCP:
		warnErrorQueue(logger, engine.CheckErrorQueue)
	}
	return nil
}

// openAudit opens the audit file; nil: none.
func (o ScanOptions) openAudit(logger *slog.Logger) (*audit.Log, error) {
	if o.AuditFile == "" {
		return nil, nil //nolint:nilnil // a nil log records nothing
	}
	log, err := audit.Open(o.AuditFile, func() {}, logger) // it logs what it drops
	if err != nil {
		return nil, fmt.Errorf("--audit.file: %w", err)
	}
	return log, nil
}

// explainInterrupt replaces the cause "context canceled" by a readable one.
func explainInterrupt(r *scan.Result) *scan.Result {
	if r.Failed[scan.FailedCanceled] == nil {
		return r
	}
	explained := *r
	explained.Failed = maps.Clone(r.Failed)
	explained.Failed[scan.FailedCanceled] = errInterrupted
	return &explained
}
