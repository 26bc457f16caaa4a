// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"portscan_exporter/internal/scan"
)

func refused() error { return syscall.ECONNREFUSED }

// TestSilentHost is dark altogether: every port is tried as often as retries
// that have not been seen to pay allow, and no more.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error { return silence(ctx) }).system()
		spec := testSpec("1-500")
		spec.Retries = 5
		ports := scanAll(t.Context(), t, d, testRequest(t, spec, home))
		if got := census(ports); got["filtered silence"] != 500 {
			t.Errorf("a dark host reads as %v", got)
		}
		for at, r := range ports {
			if r.Attempts != 2 {
				t.Fatalf("%v took %d attempts, want 2", at, r.Attempts)
			}
		}
	})
}

func TestNoRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error { return silence(ctx) }).system()
		spec := testSpec("1-10")
		spec.Retries, spec.MaxRetries = 0, 0
		for at, r := range scanAll(t.Context(), t, d, testRequest(t, spec, home)) {
			if r.Attempts != 1 || r.State != scan.Filtered {
				t.Errorf("%v took %d attempts and is %v", at, r.Attempts, r.State)
			}
		}
	})
}

// TestLoss drops three of ten attempts: retries pay, so they go on.
func TestLoss(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, port uint16, attempt int) error {
			lost := rand.New(rand.NewPCG(uint64(port), uint64(attempt))).IntN(10) < 3
			switch {
			case lost:
				return silence(ctx)
			case port%100 == 0:
				return nil
			default:
				return refused()
			}
		}).system()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-5000"), home)))
		if got["open handshake"] != 50 || got["closed rst"] != 4950 {
			t.Errorf("under loss: %v; want 50 open and 4950 closed", got)
		}
	})
}

// TestBan answers for a while and then never again: what was silent since then
// is not known, and surely not filtered.
func TestBan(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var answers atomic.Int64
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error {
			if answers.Add(1) > 200 {
				return silence(ctx)
			}
			return refused()
		}).system()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-1000"), home)))
		if got["closed rst"] != 200 || got["unknown unresponsive"] != 800 {
			t.Errorf("a ban reads as %v", got)
		}
	})
}

// TestBlackout loses everything for a while, so long that it swallows several
// attempts at a port: no closed port may be taken for a filtered one.
func TestBlackout(t *testing.T) {
	t.Parallel()
	for _, ends := range []time.Duration{600 * time.Millisecond, 900 * time.Millisecond, 1300 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			d := testDial(t, Limits{})
			d.system = network(func(ctx context.Context, _ uint16, _ int) error {
				if since := time.Since(begun); since > 100*time.Millisecond && since < ends {
					return silence(ctx)
				}
				return refused()
			}).system()
			spec := testSpec("1-1000")
			spec.Rate = 2000
			got := census(scanAll(t.Context(), t, d, testRequest(t, spec, home)))
			if got["filtered silence"] != 0 {
				t.Errorf("a blackout until %v: %v", ends, got)
			}
			if want := "closed rst"; ends < time.Hour && got[want] != 1000 {
				t.Errorf("a blackout that ended after %v: %v; want all closed", ends, got)
			}
		})
	}
}

// TestCurtailedAttempts gives the last attempt less time than port_timeout: its
// silence says nothing, even where its own timer goes off before the scan's.
func TestCurtailedAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error {
			deadline, _ := ctx.Deadline()
			time.Sleep(time.Until(deadline) - time.Millisecond)
			return os.ErrDeadlineExceeded
		}).system()
		ctx, cancel := context.WithTimeout(t.Context(), 390*time.Millisecond) // less than two attempts
		defer cancel()
		if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-50"), home))); got["unknown deadline"] != 50 {
			t.Errorf("cut in the second attempt: %v", got)
		}
	})
}

// TestOwnSideThenSilence fails the first attempt on our own side: it takes as many
// silent ones after that as it would have without.
func TestOwnSideThenSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, attempt int) error {
			if attempt == 1 {
				return syscall.EPERM
			}
			return silence(ctx)
		}).system()
		for at, r := range scanAll(t.Context(), t, d, testRequest(t, testSpec("1-50"), home)) {
			if r.State != scan.Filtered || r.Attempts < 2 {
				t.Errorf("%v: %+v", at, r)
			}
		}
	})
}

// TestFarHost answers after 80 ms: the window must grow, or the ports would take
// far longer than their number and the round trip ask for.
func TestFarHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(context.Context, uint16, int) error {
			time.Sleep(80 * time.Millisecond)
			return refused()
		}).system()
		begun := time.Now()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-20000"), home)))
		if took := time.Since(begun); got["closed rst"] != 20000 || took > 5*time.Second {
			t.Errorf("%v after %v of fake time", got, took)
		}
	})
}

// TestFirewalledHost answers on some ports and drops the others: the answers
// that it still gives show that the silent ones are filtered.
func TestFirewalledHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, port uint16, _ int) error {
			if port == 22 || port == 443 {
				return nil
			}
			return silence(ctx)
		}).system()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-1000"), home)))
		if got["open handshake"] != 2 || got["filtered silence"] != 998 {
			t.Errorf("a firewalled host reads as %v", got)
		}
	})
}

func TestDeadlineLeavesPortsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, port uint16, _ int) error {
			if port == 7 {
				return nil
			}
			return silence(ctx)
		}).system()
		spec := testSpec("1-10000")
		spec.Expect = &scan.Expectation{Open: scan.NewPortSet(7)}
		ctx, cancel := context.WithTimeout(t.Context(), 250*time.Millisecond)
		defer cancel()
		begun := time.Now()
		got := census(scanAll(ctx, t, d, testRequest(t, spec, home)))
		if got["open handshake"] != 1 || got["unknown deadline"] != 9999 {
			t.Errorf("cut short: %v; want the expected port open and all others unknown", got)
		}
		if took := time.Since(begun); took > 251*time.Millisecond {
			t.Errorf("came home after %v, with a deadline of 250ms", took)
		}
	})
}

// TestStarvation fails every attempt for want of a descriptor, for a second or
// for good.
func TestStarvation(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lack error
		ends time.Duration
		want string
	}{
		"descriptors come back":  {syscall.EMFILE, time.Second, "closed rst"},
		"descriptors, for good":  {syscall.EMFILE, time.Hour, "unknown descriptors"},
		"source ports come back": {syscall.EADDRNOTAVAIL, time.Second, "closed rst"},
		"source ports, for good": {syscall.EADDRNOTAVAIL, time.Hour, "unknown source_ports"},
	} {
		synctest.Test(t, func(t *testing.T) {
			begun := time.Now()
			d := testDial(t, Limits{})
			d.system = network(func(context.Context, uint16, int) error {
				if time.Since(begun) < tc.ends {
					return tc.lack
				}
				return refused()
			}).system()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-500"), home)))
			if got[tc.want] != 500 {
				t.Errorf("%s: %v; want all %s", name, got, tc.want)
			}
		})
	}
}

func TestRefusesZeroValues(t *testing.T) {
	t.Parallel()
	if _, err := NewDial(nil); err == nil {
		t.Error("an engine without a budget was made")
	}
	err := testDial(t, Limits{}).Scan(t.Context(), scan.Request{}, func(scan.PortResult) { t.Error("something was scanned") })
	if !errors.Is(err, scan.ErrUncheckedRequest) {
		t.Errorf("an unchecked request: %v", err)
	}
}
