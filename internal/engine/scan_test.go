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

// refused returns the error of a connection that is refused.
func refused() error { return syscall.ECONNREFUSED }

// TestScanSilentHost scans a host that never answers: all ports must be filtered after two
// attempts, although more retries are allowed, because no retry has been answered.
func TestScanSilentHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error { return silence(ctx) }).system()
		spec := testSpec("1-500")
		spec.Retries = 5
		ports := scanAll(t.Context(), t, d, testRequest(t, spec, target4))
		if got := census(ports); got["filtered silence"] != 500 {
			t.Errorf("states = %v, want 500 filtered (silence)", got)
		}
		for at, r := range ports {
			if r.Attempts != 2 {
				t.Fatalf("attempts at %v = %d, want 2", at, r.Attempts)
			}
		}
	})
}

// TestScanNoRetries scans a host that never answers, without retries: each port must be
// filtered after one attempt.
func TestScanNoRetries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, _ int) error { return silence(ctx) }).system()
		spec := testSpec("1-10")
		spec.Retries, spec.MaxRetries = 0, 0
		for at, r := range scanAll(t.Context(), t, d, testRequest(t, spec, target4)) {
			if r.Attempts != 1 || r.State != scan.Filtered {
				t.Errorf("state of %v after %d attempts = %v, want filtered after 1", at, r.Attempts, r.State)
			}
		}
	})
}

// TestScanPacketLoss loses three of ten attempts. Retries are answered, so the engine must
// continue them until all states are right.
func TestScanPacketLoss(t *testing.T) {
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
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-5000"), target4)))
		if got["open handshake"] != 50 || got["closed rst"] != 4950 {
			t.Errorf("states = %v, want 50 open (handshake) and 4950 closed (rst)", got)
		}
	})
}

// TestScanBan scans a host that answers 200 attempts and no later one: all other ports must be
// unknown (unresponsive), not filtered.
func TestScanBan(t *testing.T) {
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
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-1000"), target4)))
		if got["closed rst"] != 200 || got["unknown unresponsive"] != 800 {
			t.Errorf("states = %v, want 200 closed (rst) and 800 unknown (unresponsive)", got)
		}
	})
}

// TestScanOutage scans during an outage of the network that is long enough for several
// attempts at a port: no port may be filtered. If the outage ends, all ports must be closed.
func TestScanOutage(t *testing.T) {
	t.Parallel()
	for _, ends := range []time.Duration{600 * time.Millisecond, 900 * time.Millisecond, 1300 * time.Millisecond, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			d := testDial(t, Limits{})
			d.system = network(func(ctx context.Context, _ uint16, _ int) error {
				if since := time.Since(start); since > 100*time.Millisecond && since < ends {
					return silence(ctx)
				}
				return refused()
			}).system()
			spec := testSpec("1-1000")
			spec.Rate = 2000
			got := census(scanAll(t.Context(), t, d, testRequest(t, spec, target4)))
			if got["filtered silence"] != 0 {
				t.Errorf("outage until %v: states = %v, want 0 filtered (silence)", ends, got)
			}
			if want := "closed rst"; ends < time.Hour && got[want] != 1000 {
				t.Errorf("outage until %v: states = %v, want 1000 %s", ends, got, want)
			}
		})
	}
}

// TestScanShortenedAttempt ends the scan during the second attempt, which has less time than
// port_timeout and times out just before the scan does: all ports must be unknown for lack of
// time.
func TestScanShortenedAttempt(t *testing.T) {
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
		if got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-50"), target4))); got["unknown deadline"] != 50 {
			t.Errorf("states = %v, want 50 unknown (deadline)", got)
		}
	})
}

// TestScanLocalErrorThenSilence fails the first attempt at each port with a local error. It
// must not count as silence: a port must be filtered only after further, silent attempts.
func TestScanLocalErrorThenSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, _ uint16, attempt int) error {
			if attempt == 1 {
				return syscall.EPERM
			}
			return silence(ctx)
		}).system()
		for at, r := range scanAll(t.Context(), t, d, testRequest(t, testSpec("1-50"), target4)) {
			if r.State != scan.Filtered || r.Attempts < 2 {
				t.Errorf("state of %v after %d attempts = %v, want filtered after at least 2", at, r.Attempts, r.State)
			}
		}
	})
}

// TestScanLongRoundTrip scans 20,000 ports with a round trip of 80 ms: the window must grow so
// that the scan takes at most five seconds.
func TestScanLongRoundTrip(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(context.Context, uint16, int) error {
			time.Sleep(80 * time.Millisecond)
			return refused()
		}).system()
		start := time.Now()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-20000"), target4)))
		if took := time.Since(start); got["closed rst"] != 20000 || took > 5*time.Second {
			t.Errorf("states after %v of fake time = %v, want 20000 closed (rst) after at most 5s", took, got)
		}
	})
}

// TestScanFirewalledHost scans a host that answers on two ports and drops all other packets:
// the others must be filtered, because the answering ports show that the path works.
func TestScanFirewalledHost(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := testDial(t, Limits{})
		d.system = network(func(ctx context.Context, port uint16, _ int) error {
			if port == 22 || port == 443 {
				return nil
			}
			return silence(ctx)
		}).system()
		got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-1000"), target4)))
		if got["open handshake"] != 2 || got["filtered silence"] != 998 {
			t.Errorf("states = %v, want 2 open (handshake) and 998 filtered (silence)", got)
		}
	})
}

// TestScanDeadline scans 10,000 ports, of which one is expected to be open and answers, in too
// little time: the expected port must be open, all others unknown, and the scan must end at its
// deadline.
func TestScanDeadline(t *testing.T) {
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
		start := time.Now()
		got := census(scanAll(ctx, t, d, testRequest(t, spec, target4)))
		if got["open handshake"] != 1 || got["unknown deadline"] != 9999 {
			t.Errorf("states = %v, want 1 open (handshake) and 9999 unknown (deadline)", got)
		}
		if took := time.Since(start); took > 251*time.Millisecond {
			t.Errorf("duration = %v, want 250ms, the deadline", took)
		}
	})
}

// TestScanExhaustedResources fails all attempts for lack of descriptors or of source ports. If
// that ends after a second, all ports must be closed, otherwise unknown with that cause.
func TestScanExhaustedResources(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lack error
		ends time.Duration
		want string
	}{
		"descriptors for a second":  {syscall.EMFILE, time.Second, "closed rst"},
		"descriptors":               {syscall.EMFILE, time.Hour, "unknown descriptors"},
		"source ports for a second": {syscall.EADDRNOTAVAIL, time.Second, "closed rst"},
		"source ports":              {syscall.EADDRNOTAVAIL, time.Hour, "unknown source_ports"},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			d := testDial(t, Limits{})
			d.system = network(func(context.Context, uint16, int) error {
				if time.Since(start) < tc.ends {
					return tc.lack
				}
				return refused()
			}).system()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			got := census(scanAll(ctx, t, d, testRequest(t, testSpec("1-500"), target4)))
			if got[tc.want] != 500 {
				t.Errorf("%s: states = %v, want 500 %s", name, got, tc.want)
			}
		})
	}
}

// badLag is a system that no pacer can be created for.
type badLag struct{ system }

func (b badLag) traits() traits {
	t := b.system.traits()
	t.lag = -1
	return t
}

// TestScanError scans with a system that no pacer can be created for: Scan returns the
// error, and the engine can be used afterwards.
func TestScanError(t *testing.T) {
	t.Parallel()
	for _, ports := range []string{"1-10", "1-65535"} { // with one worker and with several
		d := testDial(t, Limits{})
		good := network(func(context.Context, uint16, int) error { return refused() }).system()
		d.system = badLag{good}
		err := d.Scan(t.Context(), testRequest(t, testSpec(ports), target4), func(scan.PortResult) { t.Error("report is called, want no call") })
		if err == nil || d.budget.used != 0 {
			t.Errorf("Scan() = %v, places in use = %d, want an error and 0", err, d.budget.used)
		}
		d.system = good
		if got := census(scanAll(t.Context(), t, d, testRequest(t, testSpec("1-10"), target4))); got["closed rst"] != 10 {
			t.Errorf("states of the next scan = %v, want 10 closed (rst)", got)
		}
	}
}

// TestScanZeroValues requires errors for an engine without a budget and for the zero value of
// a request, which has no checked addresses.
func TestScanZeroValues(t *testing.T) {
	t.Parallel()
	if _, err := NewDial(nil); err == nil {
		t.Error("NewDial(nil) returns no error, want one")
	}
	err := testDial(t, Limits{}).Scan(t.Context(), scan.Request{}, func(scan.PortResult) { t.Error("report is called, want no call") })
	if !errors.Is(err, scan.ErrUncheckedRequest) {
		t.Errorf("Scan() with an unchecked request = %v, want %v", err, scan.ErrUncheckedRequest)
	}
}
