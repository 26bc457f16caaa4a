// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// TestLateAnswersAmidSilence has open ports that answer when a near host's waits
// are long over: they are found, since it is told that something came.
func TestLateAnswersAmidSilence(t *testing.T) {
	t.Parallel()
	delays := []time.Duration{near, 50 * ms, 200 * ms, 900 * ms}
	for seed := range uint32(4) {
		for _, deaf := range []bool{false, true} {
			r := simulate(t, simulation{spec: testSpec("1-4000"), seed: seed, deaf: deaf, network: func(q question) reply {
				if q.index%200 == 0 {
					return open(delays[q.index/200%len(delays)])
				}
				return silence
			}})
			r.want(t, map[string]int{"open handshake": 20, "filtered silence": 3980})
			r.within(t, 950*ms, 8*time.Second)
		}
	}
}

// TestOneLateAnswer hides a single slow port among many silent ones of a host
// that is otherwise near.
func TestOneLateAnswer(t *testing.T) {
	t.Parallel()
	for _, delay := range []time.Duration{60 * ms, 140 * ms, 300 * ms, 600 * ms, 900 * ms} {
		r := simulate(t, simulation{spec: testSpec("1-2000"), seed: 1, network: func(q question) reply {
			switch {
			case q.index == 777:
				return open(delay)
			case q.index%100 == 0:
				return closed(near)
			default:
				return silence
			}
		}})
		if !r.only(scan.Open, 777) {
			t.Errorf("port 777 answers after %v and is %+v", delay, r.results[777])
		}
	}
}

// TestLatePath follows a port that is held back until late answers are ruled
// out, or have come.
func TestLatePath(t *testing.T) {
	t.Parallel()
	for _, came := range []bool{false, true} {
		p, results := testPath(t, testSpec("1-4"), true)
		for i := range 3 {
			now := time.Duration(i) * ms
			p.Answered(now+ms, now, next(t, p, now), scan.Open, scan.CauseHandshake)
		}
		// The fourth is silent twice, while the path works.
		last := listenInVain(t, p, 10*ms)
		last = listenInVain(t, p, last+apart)
		if p.Tick(last + 500*ms); len(results) != 3 {
			t.Fatalf("%d are reported, before late answers are ruled out", len(results))
		}
		if p.WantsLate(last + 949*ms) {
			t.Error("it asks for late answers before the whole port_timeout is over")
		}
		if !p.WantsLate(last + 950*ms) {
			t.Fatal("it does not ask for late answers")
		}
		p.Late(last+950*ms, came)
		if !came {
			if !p.Done() || p.WantsLate(time.Hour) {
				t.Error("no late answer came, and the port is not reported")
			}
			continue
		}
		try := next(t, p, last+950*ms)
		if try.Kind != Patient {
			t.Errorf("late answers came, and the next attempt is of kind %d", try.Kind)
		}
		p.Answered(last+1800*ms, last+950*ms, try, scan.Closed, scan.CauseRST)
		if !p.Done() || results[int(try.Index)].State != scan.Closed {
			t.Errorf("the port that answered in the end is %+v", results[int(try.Index)])
		}
	}
}

// listenInVain makes one silent attempt at a port and answers all canaries until
// it has been judged. It returns when the attempt was made.
func listenInVain(tb testing.TB, p *Path, now time.Duration) time.Duration {
	tb.Helper()
	sent, tried := time.Duration(-1), Try{}
	for from := now; now < from+500*ms; now += ms {
		p.Tick(now)
		switch try, ok := p.Next(now); {
		case ok && try.Kind == Canary:
			p.Answered(now+ms, now, try, scan.Open, scan.CauseHandshake)
		case ok && sent < 0:
			sent, tried = now, try
		case ok:
			tb.Fatalf("an attempt of kind %d is made at %v", try.Kind, now)
		}
		if sent >= 0 && tried.nth > 0 && now-sent >= p.Hold(tried.Kind) {
			p.Silent(sent, tried)
			tried.nth = 0 // told
		}
		if sent >= 0 && now-sent > 240*ms {
			return sent
		}
	}
	tb.Fatal("no attempt was made")
	return 0
}

// TestLateWhileWaiting has answers come late to attempts that are still to be
// judged when it is told so because of others: that holds for them too.
func TestLateWhileWaiting(t *testing.T) {
	t.Parallel()
	spec := testSpec("1-300")
	spec.Rate = 200
	for slow := 0; slow < 300; slow += 7 {
		for delay := 155 * ms; delay <= 300*ms; delay += 29 * ms {
			r := simulate(t, simulation{spec: spec, seed: 1, network: func(q question) reply {
				switch {
				case q.index == slow:
					return open(delay)
				case q.index%50 == 25:
					return open(near)
				default:
					return silence
				}
			}})
			if p := r.results[slow]; p.State != scan.Open {
				t.Errorf("port %d answers after %v and is %+v", slow, delay, p)
			}
		}
	}
}
