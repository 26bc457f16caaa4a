#!/bin/sh
# Runs after an installation or upgrade. It does not start the service, because the administrator must configure targets
# first.
set -e

if command -v systemd-sysusers >/dev/null; then
	systemd-sysusers portscan_exporter.conf
elif ! getent passwd portscan_exporter >/dev/null; then
	useradd --system --home-dir / --shell /usr/sbin/nologin portscan_exporter
fi
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart portscan_exporter.service
fi
