// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package pace

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"portscan_exporter/internal/scan"
)

// script makes a scan and a network of bytes, a few at a time; where they end,
// zeros follow.
type script []byte

func (s *script) number(below int) int {
	var two [2]byte
	*s = (*s)[copy(two[:], *s):]
	return int(binary.LittleEndian.Uint16(two[:])) % below
}

func (s *script) chance(most float64) float64 {
	return most * float64(s.number(256)) / 256
}

func (s *script) duration(most time.Duration) time.Duration {
	return most * time.Duration(s.number(1000)) / 1000
}

// scripted is what a script makes.
type scripted struct {
	simulation

	truth     []reply // of each port, where the network does nothing to it
	faithful  bool    // nothing is lost on the way, and nothing comes late
	unblocked bool    // and our own side fails nothing and breaks nothing off
}

// read makes a scan of up to 400 ports, with a host behind a network that loses,
// delays, fails, interrupts and goes away as the script has it.
func (s *script) read(seed uint64) scripted {
	spec := testSpec("1-400")
	for i := s.number(400); i > 0; i -= 7 {
		spec.Exclude = spec.Exclude.Union(scan.NewPortSet(uint16(i)))
	}
	spec.Retries = s.number(4)
	spec.MaxRetries = spec.Retries + s.number(8)
	spec.MaxInFlight = 1 + s.number(500)*s.number(2) + s.number(20)
	spec.Rate = max(0, s.number(3000)-1500)
	spec.PortTimeout = 250*ms + s.duration(time.Second)
	spec.Timeout = time.Second + s.duration(30*time.Second)
	if s.number(3) == 0 {
		spec.Expect = &scan.Expectation{Open: scan.NewPortSet(22, 80), Allow: scan.NewPortSet(399)}
	}
	out := scripted{simulation: simulation{spec: spec, seed: uint32(seed), deaf: s.number(2) == 0}, unblocked: true}
	out.truth = s.host(spec.Ports.Union(scan.NewPortSet(22, 80)).Minus(spec.Exclude).Len())
	random := rand.New(rand.NewPCG(seed, 6))
	late, lost, fails, breaks := s.duration(700*ms), s.chance(.6), s.chance(.1), s.chance(.1)
	from, lasts, mode := s.duration(3*time.Second), s.duration(3*time.Second), s.number(8)
	if mode&1 == 0 {
		late, lost, lasts = 0, 0, 0
		out.faithful = true
	}
	if mode&2 == 0 {
		fails, breaks = 0, 0
	}
	out.unblocked = fails == 0 && breaks == 0
	lacks := scan.UnknownCauses()[1:]
	out.network = func(q question) reply {
		r := out.truth[q.index]
		switch {
		case random.Float64() < fails:
			return lack(lacks[random.IntN(len(lacks))])
		case random.Float64() < breaks:
			return reply{interrupted: true, after: time.Duration(random.Int64N(int64(40 * ms)))}
		case r == silence || random.Float64() < lost || q.now >= from && q.now < from+lasts:
			return silence
		case late > 0 && random.IntN(3) == 0:
			r.after += time.Duration(random.Int64N(int64(late)))
		}
		return r
	}
	return out
}

// host makes what is true of so many ports.
func (s *script) host(ports int) []reply {
	kinds := []reply{closed(near), open(near), silence, rejected(near), closed(30 * ms)}
	usual := kinds[s.number(len(kinds))]
	seldom := 1 + s.number(40)
	truth := make([]reply, ports)
	for i := range truth {
		truth[i] = usual
		if i%seldom == 0 {
			truth[i] = kinds[(i/seldom)%len(kinds)]
		}
	}
	return truth
}

// FuzzPath throws everything there is at a path. Whatever happens, the rules hold
// that every simulation checks; and where the network is faithful, so is the
// scan.
func FuzzPath(f *testing.F) {
	random := rand.New(rand.NewPCG(7, 8))
	for seed := range uint64(250) {
		bytes := make([]byte, 48)
		for i := range bytes {
			bytes[i] = byte(random.Uint32())
		}
		f.Add(seed, bytes)
	}
	f.Add(uint64(0), []byte(nil))
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte) {
		s := (*script)(&bytes).read(seed)
		r := simulate(t, s.simulation)
		for i, p := range r.results {
			truth := s.truth[i]
			switch {
			case p.Cause.Answered() && (p.State != truth.state || p.Cause != truth.cause):
				t.Errorf("port %d is %v, %v and in truth %v, %v", i, p.State, p.Cause, truth.state, truth.cause)
			case s.faithful && p.State == scan.Filtered && truth.state != scan.Filtered && truth != silence:
				t.Errorf("port %d is filtered and in truth %v; nothing was lost", i, truth.state)
			case s.faithful && s.unblocked && !r.cut && p.State == scan.Unknown:
				t.Errorf("port %d is unknown (%v); nothing was lost, and nothing failed", i, p.Cause)
			}
		}
		if t.Failed() {
			t.Logf("%+v", s.spec)
		}
	})
}
