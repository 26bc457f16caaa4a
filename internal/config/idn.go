// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/net/idna"

	"portscan_exporter/internal/printable"
	"portscan_exporter/internal/scan"
)

// FormatHost returns an entry of hosts for people: an internationalized name with its other form,
// for example "bücher.example (xn--bcher-kva.example)".
func FormatHost(entry string) string {
	other, err := convertName(entry)
	if err != nil {
		other = ""
	}
	return scan.NewName(entry, other).String()
}

// convertName returns the ASCII form of an internationalized name (RFC 5891) or, if it is written
// in ASCII, its Unicode form. It returns "" if the name has no other form that can be displayed.
func convertName(name string) (string, error) {
	if strings.ContainsFunc(name, func(r rune) bool { return r > unicode.MaxASCII }) {
		return nameToASCII(name)
	}
	if !strings.Contains(strings.ToLower(name), "xn--") {
		return "", nil
	}
	if decoded, err := lookupProfile().ToUnicode(name); err == nil && isFormOf(name, decoded) {
		return decoded, nil
	}
	return "", nil // the ASCII form is as valid as any other name
}

// isFormOf reports whether a Unicode form has only visible characters and leads to the ASCII form.
func isFormOf(ascii, decoded string) bool {
	encoded, err := nameToASCII(decoded)
	return err == nil && strings.EqualFold(encoded, ascii) && printable.Escape(decoded) == decoded
}

// lookupProfile returns the rules for lookups (RFC 5891 section 5, UTS 46), but with underscores.
func lookupProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(false))
}

func nameToASCII(name string) (string, error) {
	const nonJoiner, joiner = "\u200c", "\u200d" // letters of some scripts need them
	if shown := strings.NewReplacer(nonJoiner, "", joiner, "").Replace(name); printable.Escape(shown) != shown {
		return "", fmt.Errorf("%s has an invisible character: write the name without it", quoteValue(name))
	}
	encoded, err := lookupProfile().ToASCII(name)
	if err != nil {
		return "", fmt.Errorf("%s is not a valid internationalized name (%s): write the name as registered, or its ASCII form, such as xn--bcher-kva.example",
			quoteValue(name), strings.TrimPrefix(err.Error(), "idna: "))
	}
	return encoded, nil
}
