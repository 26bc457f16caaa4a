# Runs postfix with its defaults. Argument: the log.
cp /usr/share/postfix/master.cf.dist /etc/postfix/master.cf
cp /usr/share/postfix/dynamicmaps.cf /etc/postfix/dynamicmaps.cf
cat >/etc/postfix/main.cf <<END
compatibility_level = 3.6
myhostname = mail.example
inet_protocols = ipv4
maillog_file = $1
maillog_file_prefixes = /
alias_maps =
local_recipient_maps =
END
cd /var/spool/postfix
queues="active bounce corrupt defer deferred flush hold incoming private saved trace"
# shellcheck disable=SC2086 # a list
mkdir -p $queues maildrop public pid
# shellcheck disable=SC2086 # a list
chmod 700 $queues
# shellcheck disable=SC2086 # a list
chown postfix $queues maildrop public /var/lib/postfix
chgrp postdrop maildrop public
chmod 730 maildrop
chmod 710 public
MAIL_CONFIG=/etc/postfix MAIL_LOGTAG=postfix exec /usr/lib/postfix/sbin/master -d
