# Runs MariaDB with its defaults. Arguments: the log, the socket.
data=/var/lib/lab
mkdir -p "$data" /run/mysqld
mariadb-install-db --no-defaults --user=root --auth-root-authentication-method=normal --skip-test-db --datadir="$data" >"$1.install" 2>&1
cat >/run/users.sql <<'END'
CREATE USER lab@'%';
GRANT RELOAD ON *.* TO lab@'%';
END
exec mariadbd --no-defaults --user=root --datadir="$data" --bind-address=0.0.0.0 --socket="$2" --log-error="$1" \
	--init-file=/run/users.sql
