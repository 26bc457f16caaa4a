// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
)

func TestWarnErrorQueue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{errors.New("kernel is old"), `level=WARN msg="Cannot read ICMP errors of connect scans" err="kernel is old"`},
	} {
		var log strings.Builder
		warnErrorQueue(slog.New(slog.NewTextHandler(&log, nil)), func() error { return tc.err })
		if got := log.String(); tc.want == "" && got != "" || !strings.Contains(got, tc.want) {
			t.Errorf("log = %q, want %q", got, tc.want)
		}
	}
}
