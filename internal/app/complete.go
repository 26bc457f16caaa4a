package app

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"portscan_exporter/internal/config"
)

// completion is what the shell may complete, from the configuration as it is then.
type completion struct {
	configFile *string
	flags      *scanFlags // as far as they are written
}

// completionArgs returns a command line that is to be completed as kingpin
// understands it. Bash makes three words of --flag=value. And where a command is half
// written kingpin takes it for an argument of the default one, which has none: without
// it all commands are listed, and the shell picks those that begin so.
func completionArgs(app *kingpin.Application, args []string) []string {
	if len(args) == 0 || args[0] != "--completion-bash" {
		return args
	}
	args = slices.DeleteFunc(slices.Clone(args), func(arg string) bool { return arg == "=" })
	last := len(args) - 1
	flag := strings.HasPrefix(args[last], "-")
	value := last > 1 && strings.HasPrefix(args[last-1], "-") && !strings.Contains(args[last-1], "=")
	command := slices.ContainsFunc(args[:last], func(arg string) bool { return app.GetCommand(arg) != nil })
	if flag || value || command {
		return args
	}
	return args[:1]
}

func (c completion) targets() []string {
	cfg, _, err := config.Load(*c.configFile, time.Now())
	if err != nil {
		return nil
	}
	return targetNames(cfg)
}

// modules are those of the target that is written, if it is known, or all.
func (c completion) modules() []string {
	cfg, _, err := config.Load(*c.configFile, time.Now())
	if err != nil {
		return nil
	}
	if selection, ok := cfg.Find(c.flags.target); ok {
		return moduleNames(selection.Target.Modules)
	}
	return moduleNames(cfg.Modules())
}

func targetNames(cfg *config.Config) (names []string) {
	for _, t := range cfg.Targets() {
		names = append(names, t.Name)
	}
	return names
}

func moduleNames(modules []*config.Module) (names []string) {
	for _, m := range modules {
		names = append(names, m.Name)
	}
	return names
}

// suggest adds to a refusal the name that was likely meant, if there is one.
func (f *scanFlags) suggest(cfg *config.Config, refusal error) error {
	near, ok := "", false
	if selection, found := cfg.Find(f.target); found {
		if _, listed := selection.Target.Module(f.module); !listed {
			near, ok = config.Nearest(f.module, moduleNames(selection.Target.Modules))
		}
	} else if _, err := netip.ParseAddr(f.target); err != nil {
		near, ok = config.Nearest(f.target, targetNames(cfg))
	}
	if !ok {
		return refusal
	}
	return fmt.Errorf("%w; did you mean %q?", refusal, near)
}
