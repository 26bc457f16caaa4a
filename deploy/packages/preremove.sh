#!/bin/sh
# Runs before the files are removed. $1 is "remove" with dpkg, and the number of remaining versions with rpm.
set -e

case "$1" in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now portscan_exporter.socket portscan_exporter.service
	fi
	;;
esac
