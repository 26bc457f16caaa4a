// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/exporter-toolkit/web"
)

// WebOptions are the flags that determine the URLs of the exporter. The healthcheck
// command accepts them, too, so that it can find an exporter that runs with them.
type WebOptions struct {
	Web                 *web.FlagConfig
	HealthListenAddress string // empty: no listener for health checks
	ExternalURL         string // empty: from each request
	RoutePrefix         string // empty: the path of ExternalURL
}

// pathPrefix returns the prefix of all paths: that of the flag or of the external URL,
// which may be nil.
func (o *WebOptions) pathPrefix(external *url.URL) string {
	if o.RoutePrefix == "" && external != nil {
		return external.Path
	}
	return o.RoutePrefix
}

// Parts of the URL of a health check.
const (
	healthyPath     = "/-/healthy"
	healthURLSample = "http://127.0.0.1:10115" + healthyPath
)

// isPlain reports whether the check is for the health listener, which has neither TLS
// nor passwords.
func (o *HealthcheckOptions) isPlain() bool { return o.URL == "" && o.HealthListenAddress != "" }

// healthURL returns the URL of the flag, or that of an exporter with the same flags.
func (o *HealthcheckOptions) healthURL(ctx context.Context) (*url.URL, error) {
	if o.URL != "" {
		return parseHealthURL(o.URL)
	}
	if o.isPlain() {
		host, err := dialAddress(ctx, "--web.health-listen-address", o.HealthListenAddress)
		return &url.URL{Scheme: "http", Host: host, Path: healthyPath}, err
	}
	address, err := o.listenAddress()
	if err != nil {
		return nil, err
	}
	host, err := dialAddress(ctx, "--web.listen-address", address)
	if err != nil {
		return nil, err
	}
	external, err := parseExternalURL(o.ExternalURL)
	if err != nil {
		return nil, err
	}
	scheme, err := o.scheme()
	return &url.URL{Scheme: scheme, Host: host, Path: path.Join("/", o.pathPrefix(external), healthyPath)}, err
}

// parseHealthURL does not repeat the URL in its error, because it can have a password.
func parseHealthURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" {
		return nil, errors.New("--url: invalid URL: write an absolute one, for example " + healthURLSample)
	}
	return u, nil
}

// listenAddress returns the first TCP address on which the exporter listens.
func (o *HealthcheckOptions) listenAddress() (string, error) {
	if *o.Web.WebSystemdSocket {
		return "", errors.New("--web.systemd-socket: unknown address: write --url=" + healthURLSample + " with the address of the socket")
	}
	addresses := *o.Web.WebListenAddresses
	i := slices.IndexFunc(addresses, func(a string) bool { return !strings.HasPrefix(a, "vsock://") })
	if i < 0 {
		return "", errors.New("--web.listen-address: health checks need TCP: write --web.health-listen-address=127.0.0.1:10116 for serve and healthcheck")
	}
	return addresses[i], nil
}

// dialAddress returns the address at which a listener of this host can be reached.
func dialAddress(ctx context.Context, flag, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("%s=%s: invalid address: write HOST:PORT, for example 127.0.0.1:10115", flag, address)
	}
	number, err := net.DefaultResolver.LookupPort(ctx, "tcp", port)
	if err != nil || number == 0 {
		return "", fmt.Errorf("%s=%s: unknown port: write --url=%s with the port of the exporter", flag, address, healthURLSample)
	}
	return net.JoinHostPort(loopbackOf(host), strconv.Itoa(number)), nil
}

// loopbackOf returns the loopback address for a host that stands for all addresses, and
// other hosts as they are.
func loopbackOf(host string) string {
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || err == nil && ip.Unmap() == netip.IPv4Unspecified():
		return "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		return "::1"
	}
	return host
}

// scheme returns https if the web configuration has TLS. The check must have the
// credentials that the configuration demands.
func (o *HealthcheckOptions) scheme() (string, error) {
	file := *o.Web.WebConfigFile
	if file == "" {
		return "http", nil
	}
	c, err := readWebConfig(file)
	if err != nil {
		return "", err
	}
	if strings.HasPrefix(c.TLSConfig.ClientAuth, "Require") {
		return "", fmt.Errorf("%s: client_auth_type: %s", file, demandedCertificate)
	}
	if len(c.Users) > 0 && o.Username == "" {
		return "", fmt.Errorf("%s: basic_auth_users: no user for the health check: write --username=NAME and --password-file=FILE", file)
	}
	if c.TLSConfig.IsEnabled() {
		return "https", nil
	}
	return "http", nil
}
