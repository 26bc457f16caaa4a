#!/bin/sh
# Runs after the files were removed. Only a purge removes the state and audit files. The user remains, so that its ID is
# not reused.
set -e

if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "$1" = purge ]; then
	for folder in lib log; do
		rm -rf "/var/$folder/private/portscan_exporter" "/var/$folder/portscan_exporter"
	done
	rmdir --ignore-fail-on-non-empty /etc/portscan_exporter 2>/dev/null || true
fi
