// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package resolve

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"

	"portscan_exporter/internal/scan"
)

// lookup has the parameters of lookups of names.
type lookup struct {
	options  Options
	settings Settings
	family   scan.Family
	want     netip.Addr // the only address of interest; zero: all
}

// find returns the addresses of a name: those in the hosts file or, if it has none, those of the first
// candidate with an address. If only one family of that candidate fails, find returns the addresses
// of the other with an error. If a search domain led to the addresses, it returns the full name.
func (l lookup) find(ctx context.Context, name string) (addrs []netip.Addr, fullName string, err error) {
	inFile := slices.DeleteFunc(l.options.Hosts(name), func(a netip.Addr) bool { return !l.family.Includes(a) })
	if len(inFile) > 0 {
		return inFile, "", nil
	}
	candidates := l.settings.candidates(name)
	asking := l
	if l.want.IsValid() && len(candidates) == 1 {
		asking.family = familyOf(l.want) // the other one cannot change the answer
	}
	var found atomic.Bool // then later candidates do not matter
	all := callStaggered(ctx, len(candidates), func(ctx context.Context, i int) []answer {
		if found.Load() {
			return nil
		}
		return asking.askFamilies(ctx, candidates[i], &found)
	}, func(results []*[]answer) bool { return l.isDecided(name, results) })
	var tried []answer
	for i, answers := range all {
		if answers == nil {
			break // of a candidate that does not matter
		}
		if addrs := addressesOf(*answers); len(addrs) > 0 {
			if isAbsolute(candidates[i]) && candidates[i] != absoluteName(name) {
				fullName = candidates[i]
			}
			return addrs, fullName, joinAnswers(failures(*answers))
		}
		tried = append(tried, *answers...)
		if i == 0 && !isSingleLabel(name) && len(failures(*answers)) > 0 {
			break
		}
	}
	if failed := failures(tried); len(failed) > 0 {
		return nil, "", joinAnswers(failed)
	}
	return nil, "", joinAnswers(tried)
}

// isSingleLabel reports whether the name has no dot. Search domains are for such names.
func isSingleLabel(name string) bool { return !strings.Contains(name, ".") }

// isDecided reports whether further results by candidate cannot change the addresses. For a name with
// a dot, a failure of the name itself does, because search domains could lead to another host.
func (l lookup) isDecided(name string, results []*[]answer) bool {
	for i, answers := range results {
		switch {
		case answers == nil:
			return false
		case len(addressesOf(*answers)) > 0, i == 0 && !isSingleLabel(name) && len(failures(*answers)) > 0:
			return true
		}
	}
	return true
}

// askFamilies asks for the addresses of a candidate, both families side by side. It sets found when
// there is one.
func (l lookup) askFamilies(ctx context.Context, name string, found *atomic.Bool) []answer {
	families := []scan.Family{scan.IPv4, scan.IPv6}
	if l.family != scan.AnyFamily {
		families = []scan.Family{l.family}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answered := make(chan answer, len(families))
	for _, f := range families {
		go func() { // its answer is received below
			q := Question{Name: name, Family: f, Servers: l.settings.Servers}
			addrs, err := l.options.Ask(ctx, q)
			answered <- answer{question: q, addrs: addrs, err: err}
		}()
	}
	answers := make([]answer, 0, len(families))
	for range families {
		a := <-answered
		if len(a.addrs) > 0 {
			found.Store(true)
		}
		if l.want.IsValid() && l.has(a.addrs) {
			cancel()
		}
		answers = append(answers, a)
	}
	slices.SortFunc(answers, func(a, b answer) int { return int(a.question.Family) - int(b.question.Family) })
	return answers
}

// has reports whether the addresses include the one of interest.
func (l lookup) has(addrs []netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap() == l.want })
}

func addressesOf(answers []answer) (addrs []netip.Addr) {
	for _, a := range answers {
		addrs = append(addrs, a.addrs...)
	}
	return addrs
}

// failures returns the answers that are not definite.
func failures(answers []answer) (failed []answer) {
	for _, a := range answers {
		if !a.isDefinite() {
			failed = append(failed, a)
		}
	}
	return failed
}

// joinAnswers returns the error for answers without addresses; nil: there are none.
// Questions with the same problem are listed together.
func joinAnswers(answers []answer) error {
	var problems []string
	types, names := make(map[string][]string), make(map[string][]string)
	causes := make([]error, 0, len(answers))
	for _, a := range answers {
		problem := a.err.Error()
		problems = appendNew(problems, problem)
		types[problem] = appendNew(types[problem], a.question.recordType())
		names[problem] = appendNew(names[problem], a.question.Name)
		causes = append(causes, a.err)
	}
	if len(problems) == 0 {
		return nil
	}
	texts := make([]string, 0, len(problems))
	for _, p := range problems {
		separator := ": "
		if strings.HasPrefix(p, serverPrefix) {
			separator = " "
		}
		texts = append(texts, strings.Join(types[p], " and ")+" "+strings.Join(names[p], ", ")+separator+p)
	}
	return &textError{text: strings.Join(texts, ", "), causes: causes}
}

func appendNew(list []string, text string) []string {
	if slices.Contains(list, text) {
		return list
	}
	return append(list, text)
}

// newNameError returns the error of a name; nil: there is none.
func newNameError(h scan.Host, err error) error {
	if err == nil {
		return nil
	}
	if strings.HasSuffix(strings.ToLower(strings.TrimSuffix(h.Name(), ".")), ".local") {
		return fmt.Errorf("resolving %s: %w; multicast DNS is not used: write an address, or a name in DNS", h, err)
	}
	return fmt.Errorf("resolving %s: %w", h, err)
}

// newUnaskedError returns the error of a name that was not looked up before the context has ended.
func newUnaskedError(ctx context.Context, h scan.Host) error {
	return newNameError(h, fmt.Errorf("not asked: %w", endOf(ctx)))
}

// joinNames returns the errors of names as one line; nil: there are none.
func joinNames(errs []error) error {
	const shown = 10
	var texts []string
	causes := errs[:0]
	for _, err := range errs {
		if err != nil {
			causes, texts = append(causes, err), append(texts, err.Error())
		}
	}
	switch n := len(texts); {
	case n == 0:
		return nil
	case n > shown:
		texts = append(texts[:shown], fmt.Sprintf("and %d other names", n-shown))
	}
	return &textError{text: strings.Join(texts, "; "), causes: causes}
}
