// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"testing"
	"time"

	"go.uber.org/goleak"

	"portscan_exporter/internal/scan"
)

// TestMain checks that no goroutine is running after all tests.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestScanRunFailAfterFinish(t *testing.T) {
	t.Parallel()
	late := newScanRun(scan.Task{}, nil)
	late.finish(time.Now())
	late.fail(scan.FailedCanceled, errors.New("too late"))
	if len(late.result().Failed) != 0 || late.canceled() != nil {
		t.Errorf("after finish: got failed %v, canceled() = %v, want none", late.result().Failed, late.canceled())
	}
	early := newScanRun(scan.Task{}, nil)
	early.fail(scan.FailedCanceled, errors.New("in time"))
	early.finish(time.Now())
	if early.result().Failed[scan.FailedCanceled] == nil || early.canceled() == nil {
		t.Errorf("before finish: got failed %v, canceled() = %v, want canceled", early.result().Failed, early.canceled())
	}
}
