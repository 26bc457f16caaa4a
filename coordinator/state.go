package coordinator

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"time"

	"portscan_exporter/scan"
)

// The state file is JSON: an envelope by which it is known, and the content, with a
// checksum, since a disk may lie.
const (
	stateFormat  = "portscan_exporter state"
	stateVersion = 1
	mostState    = 64 << 20 // bytes of the file
)

var errUnusable = errors.New("it is not a state file that this version can read")

type envelope struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	SHA256  string          `json:"sha256"` // of the content
	Content json.RawMessage `json:"content"`
}

// content is what outlives the program.
type content struct {
	Remembered []savedMemory            `json:"remembered"`
	Changes    map[string][]savedChange `json:"changes"` // by target, oldest first
	Results    []savedResult            `json:"results"`
}

// savedResult is a retained result. What it was asked for is known by its digest.
type savedResult struct {
	Asked  string          `json:"asked"`
	Target string          `json:"target"`
	Module string          `json:"module"`
	Digest string          `json:"task"`
	Result json.RawMessage `json:"result"`
}

// savedMemory is what is remembered of an address.
type savedMemory struct {
	Target   string                `json:"target"`
	Module   string                `json:"module"`
	Protocol string                `json:"protocol"`
	IP       netip.Addr            `json:"ip"`
	Last     time.Time             `json:"last"`
	States   map[string]string     `json:"states,omitempty"` // ports by state
	Opened   string                `json:"opened,omitempty"`
	Changed  map[uint16]savedTimes `json:"changed,omitempty"`
}

type savedTimes struct {
	At    time.Time `json:"at"`
	Since time.Time `json:"since"`
	Times int       `json:"times"`
}

type savedChange struct {
	Time     time.Time  `json:"time"`
	Module   string     `json:"module"`
	IP       netip.Addr `json:"ip"`
	Port     uint16     `json:"port"`
	Protocol string     `json:"protocol"`
	From     string     `json:"from"`
	To       string     `json:"to"`
	Expected string     `json:"expected"`
	Flapping bool       `json:"flapping,omitempty"`
}

// readBounded reads the file, if it is not larger than any of ours.
func readBounded(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, mostState+1))
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the file
	}
	if len(data) > mostState {
		return nil, fmt.Errorf("%w: it is larger than %d bytes", errUnusable, mostState)
	}
	return data, nil
}

// state returns the content of the state file. What would make it too large is left
// out: results that were not asked for the longest.
func (c *Coordinator) state() ([]byte, error) {
	all := c.memory.saved()
	c.mu.Lock()
	results := c.shelf.all()
	c.mu.Unlock()
	slices.SortFunc(results, func(a, b kept) int { return b.asked.Compare(a.asked) })
	size := 0
	for _, k := range results {
		result, err := k.result.Save()
		if err != nil {
			return nil, err //nolint:wrapcheck // it says what was being done
		}
		if size += len(result); size > mostState/2 {
			break // the rest is for the memory, which is bounded
		}
		all.Results = append(all.Results, savedResult{
			Asked: k.task.Asked, Target: k.task.Target, Module: k.task.Module, Digest: k.task.Digest(), Result: result,
		})
	}
	inner, err := json.Marshal(all)
	if err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	data, err := json.Marshal(envelope{Format: stateFormat, Version: stateVersion, SHA256: checksum(inner), Content: inner})
	if err != nil {
		return nil, fmt.Errorf("writing the state: %w", err)
	}
	return data, nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// parseState reads what [Coordinator.state] has written.
func parseState(data []byte) (*content, error) {
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil || e.Format != stateFormat {
		return nil, fmt.Errorf("%w: it is damaged, or something else", errUnusable)
	}
	if e.Version != stateVersion {
		return nil, fmt.Errorf("%w: it has version %d, and not %d", errUnusable, e.Version, stateVersion)
	}
	if checksum(e.Content) != e.SHA256 {
		return nil, fmt.Errorf("%w: it is damaged, its checksum is wrong", errUnusable)
	}
	var all content
	if err := json.Unmarshal(e.Content, &all); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnusable, err)
	}
	return &all, nil
}

// restore takes in what a state file holds. Results are taken where the configuration
// still has the same task; the rest is sorted out by [memory.reconfigured].
func (c *Coordinator) restore(data []byte) error {
	all, err := parseState(data)
	if err != nil {
		return err
	}
	memory := newMemory()
	if err := memory.restore(all); err != nil {
		return err
	}
	c.memory = memory
	now := time.Now()
	for _, r := range slices.Backward(all.Results) { // what was asked for last comes last
		task, err := c.options.Allow(scan.Task{Asked: r.Asked, Target: r.Target, Module: r.Module})
		if err != nil || task.MaxAge == 0 || task.Digest() != r.Digest {
			continue
		}
		result, err := scan.ReadResult(r.Result, task.Plan, task.Scope)
		if err != nil || result.Finished.After(now) {
			continue
		}
		c.mu.Lock()
		c.shelf.put(task, result, now)
		c.mu.Unlock()
		c.memory.learn(task, result) // so that it is seen; there is no news in it
	}
	return nil
}

// saved returns what is remembered, in a form that can be written.
func (m *memory) saved() *content {
	m.mu.Lock()
	seen := make(map[group]map[netip.Addr]*remembered, len(m.seen))
	for g, in := range m.seen {
		seen[g] = maps.Clone(in)
	}
	changes := maps.Clone(m.history.byTarget)
	m.mu.Unlock()
	all := &content{Changes: make(map[string][]savedChange, len(changes))}
	for g, in := range seen {
		for ip, r := range in {
			all.Remembered = append(all.Remembered, r.saved(g, ip))
		}
	}
	for target, list := range changes {
		for _, c := range list {
			all.Changes[target] = append(all.Changes[target], savedChange{
				Time: c.Time, Module: c.Module, IP: c.IP, Port: c.Port, Protocol: c.Protocol.String(),
				From: c.From.String(), To: c.To.String(), Expected: c.Expected.String(), Flapping: c.Flapping,
			})
		}
	}
	return all
}

func (r *remembered) saved(g group, ip netip.Addr) savedMemory {
	s := savedMemory{
		Target: g.target, Module: g.module, Protocol: g.protocol.String(), IP: ip, Last: r.last, Opened: r.opened.String(),
		States: make(map[string]string), Changed: make(map[uint16]savedTimes),
	}
	for state, ports := range r.states {
		s.States[state.String()] = ports.String()
	}
	for port, c := range r.changed {
		s.Changed[port] = savedTimes{At: c.at, Since: c.since, Times: c.times}
	}
	return s
}

// restore takes in what was remembered.
func (m *memory) restore(all *content) error {
	slices.SortStableFunc(all.Remembered, func(a, b savedMemory) int { return a.Last.Compare(b.Last) })
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range all.Remembered {
		g := group{target: s.Target, module: s.Module}
		protocol, ok := named(s.Protocol, scan.TCP, scan.UDP)
		r, err := s.read()
		if err = errors.Join(err, unless(ok, "protocol", s.Protocol)); err != nil {
			return fmt.Errorf("%w: of %v it remembers: %w", errUnusable, s.IP, err)
		}
		g.protocol = protocol
		m.put(g, s.IP, r)
	}
	for target, list := range all.Changes {
		for _, s := range list {
			c, err := s.read()
			if err != nil {
				return fmt.Errorf("%w: of target %s it remembers: %w", errUnusable, target, err)
			}
			m.history.add(target, []Change{c})
		}
	}
	return nil
}

func (s savedMemory) read() (*remembered, error) {
	r := &remembered{last: s.Last, changed: make(map[uint16]lastChange)}
	var err error
	if r.opened, err = scan.ParsePortSet(s.Opened); err != nil {
		return nil, err //nolint:wrapcheck // it says what is wrong
	}
	for name, text := range s.States {
		state, ok := named(name, scan.States()...)
		ports, err := scan.ParsePortSet(text)
		if err := errors.Join(err, unless(ok, "state", name)); err != nil {
			return nil, err
		}
		if r.states == nil {
			r.states = make(map[scan.State]scan.PortSet)
		}
		r.states[state] = ports
	}
	for port, c := range s.Changed {
		r.changed[port] = lastChange{at: c.At, since: c.Since, times: c.Times}
	}
	return r, nil
}

func (s savedChange) read() (Change, error) {
	from, okFrom := named(s.From, scan.States()...)
	to, okTo := named(s.To, scan.States()...)
	protocol, okProtocol := named(s.Protocol, scan.TCP, scan.UDP)
	expected, okExpected := named(s.Expected, scan.ExpectAny, scan.ExpectOpen, scan.ExpectClosed)
	c := Change{
		Time: s.Time, Module: s.Module, IP: s.IP, Port: s.Port, Protocol: protocol,
		From: from, To: to, Expected: expected, Flapping: s.Flapping,
	}
	return c, errors.Join(unless(okFrom, "state", s.From), unless(okTo, "state", s.To),
		unless(okProtocol, "protocol", s.Protocol), unless(okExpected, "expectation", s.Expected))
}

// named returns the one of that name.
func named[T fmt.Stringer](name string, all ...T) (found T, ok bool) {
	for _, one := range all {
		if one.String() == name {
			return one, true
		}
	}
	return found, false
}

func unless(ok bool, what, name string) error {
	if ok {
		return nil
	}
	return fmt.Errorf("a %s %q that is not known here", what, name)
}
