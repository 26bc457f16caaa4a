// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"

	"portscan_exporter/internal/privilege"
)

// dropPrivileges calls a function of [privilege]. A process that cannot drop capabilities
// continues: it has no more than it was granted, and its scans are the same.
func dropPrivileges(logger *slog.Logger, drop func() (before, after string, err error)) {
	before, after, err := drop()
	if err != nil {
		logger.Warn("Failed to drop capabilities", "capabilities", after, "err", err)
	} else if before != after {
		logger.Debug("Dropped capabilities", "before", before, "after", after)
	}
}

// dropWhenListening drops the capability for ports below 1024 before the server accepts its
// first connection. All listeners are open then.
func dropWhenListening(server *http.Server, logger *slog.Logger) {
	var once sync.Once
	server.BaseContext = func(net.Listener) context.Context {
		once.Do(func() { dropPrivileges(logger, privilege.Drop) })
		return context.Background()
	}
}
