# What happens by itself on a server: timed jobs, rotation of logs, upgrades, renewal of
# certificates, delivery of mail.
. /srv/work/lib.sh

daemons() {
    names
    printf '#!/bin/sh\nexit 0\n' >/usr/local/bin/journalctl && chmod 755 /usr/local/bin/journalctl
    cat >/etc/cron.d/site <<'END'
SHELL=/bin/bash
PATH=/usr/sbin:/usr/bin:/sbin:/bin
MAILTO=root
* * * * * root cd / && df -h | mail -s disk root
* * * * * www-data php -r 'echo date("c"), "\n";' >>/tmp/php.log 2>&1
* * * * * nobody find /usr/share/doc -name '*.gz' -newermt '2 days ago' | head
* * * * * root [ -x /usr/lib/php/sessionclean ] && /usr/lib/php/sessionclean
@reboot root sleep 1; echo up >/tmp/reboot; hostname; date
END
    printf '*/1 * * * * tar czf /tmp/etc.tar.gz /etc/ssh 2>/dev/null; md5sum /tmp/etc.tar.gz\n' |
        crontab -
    cron
    install -d -o daemon -g daemon /var/spool/cron/atjobs /var/spool/cron/atspool
    atd
    printf 'uptime >/tmp/at.out; id >>/tmp/at.out\n' | at now
}

daily() {
    # Not at a random time of the next half hour.
    echo 'APT::Periodic::RandomSleep "0";' >/etc/apt/apt.conf.d/99here
    run-parts --report /etc/cron.daily || true
    run-parts --report /etc/cron.weekly || true
    anacron -f -n -d -s -q 2>&1 | tail -n 3
}

rotation() {
    for n in 1 2 3; do seq 1 5000 >/var/log/app$n.log; done
    cat >/etc/logrotate.d/app <<'END'
/var/log/app*.log {
    daily
    rotate 3
    compress
    create 640 root adm
    sharedscripts
    prerotate
        df -P / >/dev/null
    endscript
    postrotate
        test -s /run/crond.pid && kill -0 $(cat /run/crond.pid) || true
        pkill -HUP -x nothing-of-this-name || true
    endscript
}
END
    logrotate -f -s /var/lib/logrotate/status /etc/logrotate.conf
    logrotate -f -s /var/lib/logrotate/status /etc/logrotate.conf
    ls /var/log/app1.log.2.gz
    find /var/log -name '*.gz' -delete
    truncate -s 0 /var/log/app2.log
}

upgrades() {
    cd /srv/pool && dpkg-scanpackages -m . >Packages 2>/dev/null
    echo 'deb [trusted=yes] file:/srv/pool ./' >/etc/apt/sources.list.d/pool.list
    rm -f /etc/apt/sources.list
    apt-get -q update
    timeout 80 unattended-upgrade --dry-run --debug | tail -n 3
    /usr/lib/apt/apt.systemd.daily update || true
}

# What a certificate client does when it has a new certificate.
renewal() {
    install -d /etc/letsencrypt/live/site /etc/letsencrypt/renewal-hooks/deploy
    cat >/etc/letsencrypt/renewal-hooks/deploy/reload <<'END'
#!/bin/sh
set -e
for domain in $RENEWED_DOMAINS; do
    install -m 640 -g ssl-cert "$RENEWED_LINEAGE/privkey.pem" "/etc/ssl/private/$domain.pem" 2>/dev/null ||
        install -m 640 "$RENEWED_LINEAGE/privkey.pem" "/etc/ssl/private/$domain.pem"
done
nginx -t
openssl x509 -in "$RENEWED_LINEAGE/fullchain.pem" -noout -dates
END
    chmod 755 /etc/letsencrypt/renewal-hooks/deploy/reload
    install -d /etc/ssl/private
    openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj /CN=site.example.net \
        -keyout /etc/letsencrypt/live/site/privkey.pem -out /etc/letsencrypt/live/site/fullchain.pem
    python3 - <<'END'
import os, subprocess
env = dict(os.environ, RENEWED_LINEAGE="/etc/letsencrypt/live/site", RENEWED_DOMAINS="site.example.net")
for hook in sorted(os.scandir("/etc/letsencrypt/renewal-hooks/deploy"), key=lambda e: e.name):
    subprocess.run(hook.path, shell=True, env=env, check=True)
END
}

mail_delivery() {
    test -e /etc/postfix/main.cf || cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
    postconf -e 'inet_interfaces=all' 'mydestination=localhost, web-1, site.example.net' \
        'mailbox_command=/usr/bin/procmail -a "$EXTENSION"' 'maillog_file=/var/log/mail.log' \
        'default_transport=error' 'compatibility_level=3.6' 'mynetworks=0.0.0.0/0'
    useradd -m reader
    cat >/home/reader/.procmailrc <<'END'
:0 c
| /usr/bin/wc -c >>$HOME/sizes
:0 fw
| /usr/bin/awk '{print}'
END
    chown reader /home/reader/.procmailrc
    echo 'ticket: "|/usr/local/bin/ticket"' >>/etc/aliases
    printf '#!/bin/sh\nid >>/tmp/tickets; grep -i ^subject: >>/tmp/tickets\n' >/usr/local/bin/ticket
    chmod 755 /usr/local/bin/ticket
    touch /tmp/tickets && chmod 666 /tmp/tickets
    newaliases
    postfix start
    await 25
    for n in 1 2 3; do
        echo "text $n" | mail -s "local $n" reader
        # From the other machine.
        peer python3 - <<END
import smtplib
with smtplib.SMTP("$SERVER") as mail:
    for to in ["reader@site.example.net", "ticket@site.example.net"]:
        mail.sendmail("a@example.net", [to], "Subject: from afar $n\n\ntext\n")
END
    done
    for _ in $(seq 200); do
        [ "$(grep -c subject -i /tmp/tickets)" -ge 3 ] && [ -s /home/reader/sizes ] && return
        sleep 0.1
    done
    return 1
}

# The minute has to come.
timed_jobs() {
    for _ in $(seq 75); do
        test -s /tmp/etc.tar.gz && test -s /tmp/php.log && test -s /tmp/at.out && return
        sleep 1
    done
    ls -l /tmp
    return 1
}

step daemons daemons
step daily daily
step rotation rotation
step upgrades upgrades
step renewal renewal
step mail mail_delivery
step timed-jobs timed_jobs
