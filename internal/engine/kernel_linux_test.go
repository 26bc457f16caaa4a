// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import "testing"

func TestQueuesErrors(t *testing.T) {
	t.Parallel()
	for release, want := range map[string]bool{
		"5.8.0": true, "5.8": true, "5.8.0-rc1": true, "5.8-generic": true, "5.10.0-28-amd64": true, "6.0": true,
		"6.18.5+": true, "6.18.44-fc-v595": true, "10.1": true,
		"5.7.19": false, "5.4.0-216-generic": false, "5.1.21": false, "4.19": false, "4.18.0-553.el8_10.x86_64": false,
		"4.4.0-19041-Microsoft": false, "3.10": false, "2.6.78+": false,
		"": false, "6": false, "six.1": false, "6.x": false, "5.": false, ".8": false, "-5.8": false, "5.-8": false, "v5.8": false,
		"5.99999999999999999999": false,
	} {
		if got := queuesErrors(release); got != want {
			t.Errorf("queuesErrors(%q) = %v, want %v", release, got, want)
		}
	}
}

func TestKernelRelease(t *testing.T) {
	t.Parallel()
	if release := kernelRelease(); release == "" {
		t.Error("kernelRelease() is empty")
	}
}
