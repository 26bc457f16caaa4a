// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// platform is an operating system and a processor.
type platform struct {
	system, processor string
	arm               string // architecture version, for 32-bit ARM
}

// allPlatforms returns the platforms of a release.
func allPlatforms() []platform {
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

// parsePlatforms returns the platforms with these comma-separated names, or all.
func parsePlatforms(names string) ([]platform, error) {
	if names == "" {
		return allPlatforms(), nil
	}
	var parsed []platform
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(allPlatforms(), func(p platform) bool { return p.String() == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown platform %q: must be one of %v", name, allPlatforms())
		}
		parsed = append(parsed, allPlatforms()[i])
	}
	return parsed, nil
}

func (p platform) String() string { return p.system + "/" + p.machine() }

// machine returns the processor's name in file names.
func (p platform) machine() string {
	if p.arm != "" {
		return p.processor + "v" + p.arm
	}
	return p.processor
}

// program returns the name of the program's file.
func (p platform) program() string {
	if p.system == "windows" {
		return "portscan_exporter.exe"
	}
	return "portscan_exporter"
}

// buildProgram builds the program with the Makefile.
func (r *release) buildProgram(ctx context.Context, p platform, program string) error {
	cmd := exec.CommandContext(ctx, "make", "--no-print-directory", "build", "OUTPUT="+program) //nolint:gosec // constant command
	cmd.Dir = r.root
	for _, setting := range os.Environ() {
		// The variables of a calling make would change this one.
		if !strings.HasPrefix(setting, "MAKE") && !strings.HasPrefix(setting, "MFLAGS=") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	// The user's flags must not change the program.
	cmd.Env = append(cmd.Env, "GOFLAGS=-mod=readonly", "GOAMD64=v1", "GOARM64=v8.0",
		"GOOS="+p.system, "GOARCH="+p.processor, "GOARM="+p.arm)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building: %w", err)
	}
	return nil
}

// git returns the output of a git command in the sources.
func (r *release) git(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", append([]string{"-c", "safe.directory=*"}, args...)...) //nolint:gosec // constant command
	cmd.Dir, cmd.Stderr = r.root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", args[0], err)
	}
	return strings.TrimSpace(string(out)), nil
}
