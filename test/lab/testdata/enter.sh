# Usage: enter.sh MEMORY UNPACKED SCRIPT [ARGUMENT...]
#
# Runs SCRIPT in a mount namespace in which the packages of the folder UNPACKED look installed. Changes of files are in
# memory, mounted at the folder MEMORY.
set -eu
memory=$1 unpacked=$2
shift 2
mount -t tmpfs tmpfs "$memory"
for part in usr etc var; do
	mkdir "$memory/$part" "$memory/$part.work"
	lower=/$part
	if [ "$part" != var ]; then # the folder UNPACKED itself may be in /var
		lower=$unpacked/$part:/$part
	fi
	mount -t overlay overlay -o "lowerdir=$lower,upperdir=$memory/$part,workdir=$memory/$part.work" "/$part"
done
cp -a "$unpacked/var/." /var
mount -t tmpfs tmpfs /run
mount -t proc proc /proc

# What the packages' installation scripts do.
rm -f /etc/resolv.conf
echo "nameserver 127.0.0.1" >/etc/resolv.conf
echo "198.51.100.254 scanner.example" >>/etc/hosts
cat >>/etc/passwd <<'END'
sshd:x:61001:65534::/run/sshd:/usr/sbin/nologin
postfix:x:61002:61002::/var/spool/postfix:/usr/sbin/nologin
END
printf '%s\n' postfix:x:61002: postdrop:x:61003: >>/etc/group

# The first process of a PID namespace must not change its user: it would no longer end with its parent.
sh -eu "$@"
exit
