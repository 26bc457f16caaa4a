# Runs sshd with Debian's configuration. Argument: the log.
mkdir -p /run/sshd
cp /usr/share/openssh/sshd_config /etc/ssh/sshd_config
ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key
exec /usr/sbin/sshd -D -E "$1"
