#!/bin/sh
# Runs before the files go. dpkg says "remove" and not "upgrade", rpm how many versions will be left.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now portscan_exporter.socket portscan_exporter.service
	fi
	;;
esac
