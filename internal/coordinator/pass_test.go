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

// TestMain holds every test here to the promise that nothing of a coordinator runs any
// more once it is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestWhatEndedStaysAsItWas has somebody leave, or a reload come, when a pass has ended.
func TestWhatEndedStaysAsItWas(t *testing.T) {
	t.Parallel()
	p := newPass(scan.Task{}, nil)
	p.finish(time.Now())
	p.fail(scan.FailedCanceled, errors.New("too late"))
	if !p.ended() || len(p.result().Failed) != 0 || p.canceled() != nil {
		t.Errorf("ended %v, failed %v", p.ended(), p.result().Failed)
	}
	q := newPass(scan.Task{}, nil)
	q.fail(scan.FailedCanceled, errors.New("in time"))
	q.finish(time.Now())
	if q.ended() || q.result().Failed[scan.FailedCanceled] == nil || q.canceled() == nil {
		t.Errorf("ended %v, failed %v", q.ended(), q.result().Failed)
	}
}
