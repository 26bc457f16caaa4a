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

// script derives a scan and a network from bytes. It continues with zeros after the last
// byte.
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

// scriptedSimulation is a simulation that a script defines.
type scriptedSimulation struct {
	simulation

	hostAnswers   []attemptResult // of the host by port, before the network changes them
	lossless      bool            // the network neither loses nor delays an answer
	noLocalErrors bool            // no attempt fails locally or is interrupted
	banned        bool            // a filter blocks the scanner in mid-scan, or has since the last one
}

// read returns a scan of up to 400 ports of a host. As the script defines, attempts are
// lost or fail, are interrupted or answered late, and are lost for a while altogether.
func (s *script) read(seed uint64) scriptedSimulation {
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
	out := scriptedSimulation{simulation: simulation{spec: spec, seed: uint32(seed), noLateDetection: s.number(2) == 0}, noLocalErrors: true}
	out.hostAnswers = s.host(spec.Ports.Union(scan.NewPortSet(22, 80)).Minus(spec.Exclude).Len())
	random := rand.New(rand.NewPCG(seed, 6))
	delay, loss, failures, interruptions := s.duration(700*ms), s.chance(.6), s.chance(.1), s.chance(.1)
	from, lasts, mode := s.duration(3*time.Second), s.duration(3*time.Second), s.number(8)
	if mode&1 == 0 {
		delay, loss, lasts = 0, 0, 0
		out.lossless = true
	}
	if mode&2 == 0 {
		failures, interruptions = 0, 0
	}
	out.noLocalErrors = failures == 0 && interruptions == 0
	causes := scan.UnknownCauses()[1:]
	out.network = func(a attemptInfo) attemptResult {
		r := out.hostAnswers[a.index]
		switch {
		case random.Float64() < failures:
			return localError(causes[random.IntN(len(causes))])
		case random.Float64() < interruptions:
			return attemptResult{interrupted: true, after: time.Duration(random.Int64N(int64(40 * ms)))}
		case r == silence || random.Float64() < loss || a.now >= from && a.now < from+lasts:
			return silence
		case delay > 0 && random.IntN(3) == 0:
			r.after += time.Duration(random.Int64N(int64(delay)))
		}
		return r
	}
	s.ban(&out)
	return out
}

// ban limits attempts at open ports, and blocks the scanner after some attempts if the script
// defines it. The last scan has seen the same host or another one.
func (s *script) ban(out *scriptedSimulation) {
	out.spec.MaxOpenAttempts = 1 + s.number(4)
	out.receivesLate = s.number(3) == 0
	filters := []network{nil, nil, always(silence), always(rejected(near)), rateLimited(1, 6, always(rejected(near))), always(closed(near))}
	if filter := filters[s.number(len(filters))]; filter != nil {
		out.banned = true
		out.network = (&ban{after: s.number(500), host: out.network, filter: filter}).answer
	}
	answers := out.hostAnswers
	switch s.number(4) {
	case 0:
		answers = s.host(len(answers))
		out.banned = true
		fallthrough
	case 1:
		out.known = knownAnswers(out.spec, answers)
	default:
	}
}

// knownAnswers returns the result of a complete scan of a host with the answers.
func knownAnswers(spec scan.Spec, answers []attemptResult) scan.Known {
	ports := make(map[scan.State][]uint16)
	i := 0
	for port := range spec.Ports.Union(scan.NewPortSet(22, 80)).Minus(spec.Exclude).All() {
		state := answers[i].state
		ports[state] = append(ports[state], port)
		i++
	}
	return scan.Known{
		Open: scan.NewPortSet(ports[scan.Open]...), Closed: scan.NewPortSet(ports[scan.Closed]...),
		Filtered: scan.NewPortSet(append(ports[scan.Filtered], ports[scan.Unknown]...)...),
	}
}

// host returns the answers of a host's ports.
func (s *script) host(ports int) []attemptResult {
	kinds := []attemptResult{closed(near), open(near), silence, rejected(near), closed(30 * ms)}
	usual := kinds[s.number(len(kinds))]
	interval := 1 + s.number(40) // of ports that differ from the usual
	answers := make([]attemptResult, ports)
	for i := range answers {
		answers[i] = usual
		if i%interval == 0 {
			answers[i] = kinds[(i/interval)%len(kinds)]
		}
	}
	return answers
}

// FuzzPacer scans hosts in random conditions. The rules that every simulation checks must
// hold, and answers must be reported unchanged unless a filter blocks the scanner. Without loss,
// no port that answers may be filtered. If attempts do not fail either, a scan that is not
// stopped must leave no port unknown. One that is stopped must have made attempts until then.
func FuzzPacer(f *testing.F) {
	random := rand.New(rand.NewPCG(7, 8))
	for seed := range uint64(250) {
		bytes := make([]byte, 64)
		for i := range bytes {
			bytes[i] = byte(random.Uint32())
		}
		f.Add(seed, bytes)
	}
	f.Add(uint64(0), []byte(nil))
	// Canaries use the rate of a slow path.
	f.Add(uint64(63), []byte("\xf671010X\xc51098\xaf٨\xc402010020D9\x15\\k0\xdd0\xcc0\x18\x8f\f9700001001"))
	// The first closed port answers after rejects, without retries.
	f.Add(uint64(9), []byte("\xbda0000000000070000000098b1000000000000000000211"))
	f.Fuzz(func(t *testing.T, seed uint64, bytes []byte) {
		s := (*script)(&bytes).read(seed)
		r := simulate(t, s.simulation)
		if idle := r.duration - r.lastSent(); r.stopped && idle > s.spec.PortTimeout+3*time.Second {
			t.Errorf("got no attempt in the last %v of a scan that was stopped, want one or an end", idle)
		}
		for i, p := range r.results {
			want := s.hostAnswers[i]
			switch {
			case s.banned:
			case p.Cause.Answered() && (p.State != want.state || p.Cause != want.cause):
				t.Errorf("port %d: got %v, %v, want %v, %v", i, p.State, p.Cause, want.state, want.cause)
			case s.lossless && p.State == scan.Filtered && want.state != scan.Filtered && want != silence:
				t.Errorf("port %d without loss: got %v, want %v", i, p.State, want.state)
			case s.lossless && s.noLocalErrors && !r.stopped && p.State == scan.Unknown:
				t.Errorf("port %d without loss and local errors: got %v, %v, want %v", i, p.State, p.Cause, want.state)
			}
		}
		if t.Failed() {
			t.Logf("%+v receives late %v banned %v", s.spec, s.receivesLate, s.banned)
		}
	})
}
