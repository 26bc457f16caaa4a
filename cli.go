package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"portscan_exporter/config"
	"portscan_exporter/coordinator"
	"portscan_exporter/engine"
	"portscan_exporter/scan"
	"portscan_exporter/server"
)

type scanFlags struct {
	target, module, ports string
	all                   bool
}

func (f *scanFlags) register(c *kingpin.CmdClause) {
	c.Arg("target", "A configured target's name, or an address inside one.").Required().StringVar(&f.target)
	c.Flag("module", "The module to scan with, one of the target's. Its first if not given.").StringVar(&f.module)
	c.Flag("ports", "Scan these ports instead of the module's, less its exclude_ports.").StringVar(&f.ports)
	c.Flag("all", "List every port, not the notable ones alone.").BoolVar(&f.all)
}

// run scans and prints a table. Exit status: 0 all as expected; 1 a port is not;
// 2 the scan was refused, incomplete or failed.
func (f *scanFlags) run(configFile string, logger *slog.Logger, stdout, stderr io.Writer) int {
	refuse := func(err error) int {
		fmt.Fprintf(stderr, "portscan_exporter: %v\n", err)
		return exitRefused
	}
	cfg, _, err := config.Load(configFile, time.Now())
	if err != nil {
		return refuse(err)
	}
	task, err := f.task(cfg, time.Now())
	if err != nil {
		return refuse(err)
	}
	if task.Plan.Spec().Method == scan.SYN {
		if err := engine.CheckSYN(); err != nil {
			return refuse(fmt.Errorf("module %s: method syn can't be used here: %w", task.Module, err))
		}
	}
	result, err := scanOnce(cfg, task, logger)
	if err != nil {
		return refuse(err)
	}
	violating := printTable(stdout, result, f.all)
	switch {
	case violating:
		return exitFailure
	case !result.Success():
		return exitRefused
	default:
		return exitOK
	}
}

// task finds what the command line names, under the same rules as /probe.
func (f *scanFlags) task(cfg *config.Config, now time.Time) (scan.Task, error) {
	selection, module, err := server.Admit(cfg, f.target, f.module, now)
	if err != nil {
		return scan.Task{}, err //nolint:wrapcheck // already one clear line
	}
	task := selection.Task(module)
	if f.ports == "" {
		return task, nil
	}
	only, err := scan.ParsePortSet(f.ports)
	if err != nil {
		return scan.Task{}, fmt.Errorf("--ports: %w", err)
	}
	task.Plan, err = planOnly(task.Plan, only)
	return task, err
}

// planOnly returns the plan for other ports than the module's. Those that the
// module excludes stay excluded.
func planOnly(p scan.Plan, only scan.PortSet) (scan.Plan, error) {
	spec := p.Spec()
	everything, err := scan.ParsePortSet("1-65535")
	if err != nil {
		return scan.Plan{}, fmt.Errorf("--ports: %w", err)
	}
	spec.Ports = only
	spec.Exclude = spec.Exclude.Union(everything.Minus(only))
	plan, err := scan.NewPlan(spec)
	if err != nil {
		return scan.Plan{}, fmt.Errorf("--ports: %w: the module excludes the others", err)
	}
	return plan, nil
}

// scanOnce carries one task out. Ctrl-C ends it with what is known by then.
func scanOnce(cfg *config.Config, task scan.Task, logger *slog.Logger) (*scan.Result, error) {
	budget, err := engine.NewBudget(engine.Limits{})
	if err != nil {
		return nil, fmt.Errorf("making the budget: %w", err)
	}
	scans, err := newScans(budget, coordinator.Options{Logger: logger})
	if err != nil {
		return nil, err
	}
	defer scans.Close()
	applyLimits(cfg, budget, scans)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, task.Plan.Spec().Timeout)
	defer cancel()
	task.MaxAge = 0 // it ends with this program
	a, err := scans.Scan(ctx, task)
	return a.Result, err //nolint:wrapcheck // already one clear line
}

// printTable prints the ports, and returns whether one is not as expected.
func printTable(w io.Writer, r *scan.Result, all bool) (violating bool) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ADDRESS\tPORT\tPROTOCOL\tSTATE\tEXPECTED\tRESPONSE")
	var notes []string
	for i := range r.Addresses {
		a := &r.Addresses[i]
		hidden := make(map[scan.State]int)
		for p := range a.All() {
			if !all && !r.Plan.Notable(p.Port, p.State) {
				hidden[p.State]++
				continue
			}
			response := "-"
			if p.RTT > 0 {
				response = p.RTT.Round(time.Microsecond).String()
			}
			fmt.Fprintf(table, "%v\t%d\t%v\t%s\t%v\t%s\n",
				a.IP, p.Port, r.Plan.Spec().Protocol, shout(p.State), r.Plan.Expected(p.Port), response)
		}
		notes = append(notes, restNotes(a, hidden)...)
		open, notOpen := a.Violating()
		violating = violating || open+notOpen > 0
	}
	_ = table.Flush()
	for _, ip := range r.Refused {
		notes = append(notes, fmt.Sprintf("%v lies outside the target's networks and was not touched", ip))
	}
	for _, f := range scan.Failures() {
		if err := r.Failed[f]; err != nil {
			notes = append(notes, fmt.Sprintf("the scan is incomplete (%v): %v", f, err))
		}
	}
	for _, n := range notes {
		fmt.Fprintln(w, n)
	}
	return violating
}

// restNotes counts the ports of an address that the table leaves out, and the
// unknown ones by cause.
func restNotes(a *scan.AddressResult, hidden map[scan.State]int) []string {
	var counts, notes []string
	for _, s := range scan.States() {
		if n := hidden[s]; n > 0 {
			counts = append(counts, fmt.Sprintf("%d %v", n, s))
		}
	}
	if len(counts) > 0 {
		notes = append(notes, fmt.Sprintf("not shown of %v: %s", a.IP, strings.Join(counts, ", ")))
	}
	for _, cause := range scan.UnknownCauses() {
		if n := a.UnknownBy()[cause]; n > 0 {
			notes = append(notes, fmt.Sprintf("unknown on %v because of %v: %d", a.IP, cause, n))
		}
	}
	return notes
}

// shout writes a state as the table does: OPEN|FILTERED for open_filtered.
func shout(s scan.State) string {
	return strings.ToUpper(strings.ReplaceAll(s.String(), "_", "|"))
}

type healthFlags struct {
	url string
}

func (f *healthFlags) register(c *kingpin.CmdClause) {
	c.Flag("url", "The URL to ask.").Default("http://127.0.0.1:10115/-/healthy").StringVar(&f.url)
}

// run asks once and returns 0 for a 200.
func (f *healthFlags) run(stdout, stderr io.Writer) int {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := askHealth(ctx, f.url); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: asking for health: %v\n", err)
		return exitFailure
	}
	fmt.Fprintln(stdout, "Healthy")
	return exitOK
}

func askHealth(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err //nolint:wrapcheck // run says what was being done
	}
	client := http.Client{}
	resp, err := client.Do(req)
	if err != nil {
		return err //nolint:wrapcheck // run says what was being done
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}
