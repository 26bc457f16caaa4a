// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/url"
	"strings"
)

// hiddenText replaces credentials in messages.
const hiddenText = "xxxxx"

// RedactURL returns a URL for messages: without its user name and password. If a parser cannot
// find them, for example because of a slash in the password, it returns no part of the text.
// Errors of [url.Parse] quote such texts, and must not appear in messages.
func RedactURL(text string) string {
	_, rest, absolute := strings.Cut(text, "://")
	if !absolute {
		rest = text
	}
	u, err := url.Parse(text)
	switch {
	case !strings.ContainsAny(rest, ":@"):
		return text
	case err != nil || u.Opaque != "":
		return hiddenText
	case !strings.Contains(text, "@"):
		return text
	case u.User == nil || strings.Count(text, "@") > 1:
		return hiddenText
	}
	u.User = url.User(hiddenText)
	return u.String()
}
