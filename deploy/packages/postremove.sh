#!/bin/sh
# Runs when the files are gone. What the exporter has written goes with a purge alone; the user stays, so that nobody else
# gets its number.
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
