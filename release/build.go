package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// platform is what a program is built for.
type platform struct {
	system, processor string
	arm               string // the version of the instructions of a 32-bit ARM
}

// platforms are those that there is a release for.
func platforms() []platform {
	return []platform{
		{"linux", "amd64", ""},
		{"linux", "arm64", ""},
		{"linux", "arm", "7"},
		{"darwin", "amd64", ""},
		{"darwin", "arm64", ""},
		{"windows", "amd64", ""},
		{"windows", "arm64", ""},
		{"freebsd", "amd64", ""},
		{"freebsd", "arm64", ""},
	}
}

// pick returns the platforms with these names, or all.
func pick(names string) ([]platform, error) {
	if names == "" {
		return platforms(), nil
	}
	var picked []platform
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(platforms(), func(p platform) bool { return p.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no release for %q: there is for %v", name, platforms())
		}
		picked = append(picked, platforms()[i])
	}
	return picked, nil
}

func (p platform) String() string { return p.system + "/" + p.machine() }

// machine is the processor as it is written in file names.
func (p platform) machine() string {
	if p.arm != "" {
		return p.processor + "v" + p.arm
	}
	return p.processor
}

// program is the name of the program's file.
func (p platform) program() string {
	if p.system == "windows" {
		return "portscan_exporter.exe"
	}
	return "portscan_exporter"
}

// build builds the program with the Makefile, which knows how.
func (r *release) build(ctx context.Context, p platform, program string) error {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "build", "OUTPUT="+program) //nolint:gosec // our own
	cmd.Dir = r.root
	for _, setting := range os.Environ() {
		// What an outer make says of itself is not meant for this one.
		if !strings.HasPrefix(setting, "MAKE") && !strings.HasPrefix(setting, "MFLAGS=") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	// Flags of this machine's user would make another program.
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+p.system, "GOARCH="+p.processor, "GOARM="+p.arm)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	return nil
}

// git asks git about the sources.
func (r *release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...) //nolint:gosec // our own
	cmd.Dir, cmd.Stderr = r.root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
