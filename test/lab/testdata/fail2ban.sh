# Runs fail2ban with Debian's jail for sshd and nftables. Arguments: its log, its socket, the log of sshd, the type of
# the action: multiport or allports.
mkdir -p /run/fail2ban
cat >/etc/fail2ban/jail.local <<END
[sshd]
backend = polling
logpath = $3
banaction = nftables[type=$4]
END
touch "$3"
exec fail2ban-server -f --logtarget="$1" --socket="$2" start
