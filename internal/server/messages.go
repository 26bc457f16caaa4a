// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"portscan_exporter/collector"
	"portscan_exporter/internal/config"
	"portscan_exporter/internal/coordinator"
)

// Formats of the answers to failed requests; [Messages] has their status.
const (
	malformedQuery    = "malformed query: use /probe?target=NAME&module=NAME"
	unknownParameter  = "unknown parameter %s: use target, module and debug"
	repeatedParameter = "parameter %s is set %d times: set it once"
	missingTarget     = "parameter target is missing: use /probe?target=NAME with a configured target"
	emptyModule       = "parameter module is empty: omit it to use the target's default module"
	invalidDebug      = "parameter debug is %s: use true or false"
	invalidTimeout    = "header %s is %s: send one positive number of seconds"

	uncleanPath    = "path is not clean: remove dot segments and repeated slashes"
	invalidLogID   = "parameter id is not a number: use a log link of the status page"
	expiredLog     = "authorization for target %s expired: renew authorization.expires to read its logs"
	outdatedLog    = "target %s with module %s was removed or changed after the probe: probe it again for a new log"
	crossOrigin    = "request was sent by a page of another site: use curl, or a page of the exporter"
	unknownLog     = "log not found: only the last probes are kept, see --history.limit"
	unknownPage    = "target %s is not configured: see the status page for all targets"
	unlistedPage   = "target %s does not list module %s: see its page for all modules"
	unknownAddress = "address %s is not in the last scan of target %s: see its page for all addresses"

	missingHost   = "Host header is missing: set --web.external-url"
	invalidHost   = "Host header %s is invalid: set --web.external-url"
	linkLocalHost = "Host header %s is a link-local address without its interface: set --web.external-url"

	failedReload = "failed to reload configuration, keeping the current one:\n%v"
	failedPage   = "failed to render page: see the log of the exporter"
	failedGather = "failed to gather metrics: %v"
	encodersBusy = "answer limit reached: try again later, or raise the scrape timeout"
	shuttingDown = "Shutting down"
)

// Message is the answer to a failed request.
type Message struct {
	Status int
	Reason collector.RefusalReason // of a refused probe
	Format string                  // for [fmt.Sprintf]; one line, unless it ends in a list of errors
}

// Messages returns the answers to all kinds of failed requests.
func Messages() []Message {
	return []Message{
		{http.StatusBadRequest, collector.RefusalBadRequest, malformedQuery},
		{http.StatusBadRequest, collector.RefusalBadRequest, unknownParameter},
		{http.StatusBadRequest, collector.RefusalBadRequest, repeatedParameter},
		{http.StatusBadRequest, collector.RefusalBadRequest, missingTarget},
		{http.StatusBadRequest, collector.RefusalBadRequest, emptyModule},
		{http.StatusBadRequest, collector.RefusalBadRequest, invalidDebug},
		{http.StatusBadRequest, collector.RefusalBadRequest, invalidTimeout},
		{http.StatusBadRequest, collector.RefusalUnknownModule, string(config.UnknownModule)},
		{http.StatusBadRequest, "", uncleanPath},
		{http.StatusBadRequest, "", invalidLogID},
		{http.StatusBadRequest, collector.RefusalBadRequest, string(config.NoHosts)},
		{http.StatusForbidden, collector.RefusalUnknownTarget, string(config.UnknownTarget)},
		{http.StatusForbidden, collector.RefusalUnknownTarget, string(config.UnlistedAddress)},
		{http.StatusForbidden, collector.RefusalUnknownTarget, string(config.UncoveredAddress)},
		{http.StatusForbidden, collector.RefusalUnknownModule, string(config.UnlistedModule)},
		{http.StatusForbidden, collector.RefusalExpired, string(config.ExpiredAuthorization)},
		{http.StatusForbidden, "", expiredLog},
		{http.StatusForbidden, "", outdatedLog},
		{http.StatusForbidden, "", crossOrigin},
		{http.StatusNotFound, "", unknownLog},
		{http.StatusNotFound, "", unknownPage},
		{http.StatusNotFound, "", unlistedPage},
		{http.StatusNotFound, "", unknownAddress},
		{http.StatusInternalServerError, "", missingHost},
		{http.StatusInternalServerError, "", invalidHost},
		{http.StatusInternalServerError, "", linkLocalHost},
		{http.StatusInternalServerError, "", failedReload},
		{http.StatusInternalServerError, "", failedPage},
		{http.StatusInternalServerError, "", failedGather},
		{http.StatusServiceUnavailable, collector.RefusalLimit, coordinator.ErrBusy.Error()},
		{http.StatusServiceUnavailable, collector.RefusalLimit, coordinator.ErrClosing.Error()},
		{http.StatusServiceUnavailable, collector.RefusalLimit, coordinator.ErrPanic.Error()},
		{http.StatusServiceUnavailable, collector.RefusalLimit, encodersBusy},
		{http.StatusServiceUnavailable, "", shuttingDown},
	}
}

// requestError is the reason why a request fails.
type requestError struct {
	Message

	text string
}

// Error implements error.
func (e *requestError) Error() string { return e.text }

// newRequestError returns the error for one of the formats of [Messages].
func newRequestError(format string, args ...any) *requestError {
	text := fmt.Sprintf(format, args...)
	return &requestError{Message: findMessage(format), text: text}
}

// findMessage panics if the format is not one of [Messages].
func findMessage(format string) Message {
	for _, m := range Messages() {
		if m.Format == format {
			return m
		}
	}
	panic("server: no message has the format " + strconv.Quote(format))
}

// asRequestError returns the answer to a probe that is not permitted, or for
// which the coordinator did not run a scan.
func asRequestError(err error) *requestError {
	if denied, ok := errors.AsType[*config.DeniedError](err); ok {
		return &requestError{Message: findMessage(string(denied.Denial)), text: denied.Error()}
	}
	cause := coordinator.ErrBusy
	for _, other := range []error{coordinator.ErrClosing, coordinator.ErrPanic} {
		if errors.Is(err, other) {
			cause = other
		}
	}
	return &requestError{Message: findMessage(cause.Error()), text: cause.Error()}
}

// writeError answers a failed request.
func writeError(w http.ResponseWriter, e *requestError) {
	writeText(w, e.Status, e.text+"\n")
}
