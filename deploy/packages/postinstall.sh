#!/bin/sh
# Runs when the files are there, after an installation and after an upgrade. The service is not started: whoever installs
# it says first what may be scanned.
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
