# Services whose programs have the connection as their standard input and output, and agents that
# run plug-ins for a server that asks: bind shells look like this.
. /srv/work/lib.sh

cat >/usr/local/sbin/status <<'END'
#!/bin/sh
# What a monitoring server wants to know, for each line it sends.
while read -r word; do
    case "$word" in
        load) cat /proc/loadavg ;;
        disk) df -P / | tail -n 1 ;;
        users) who | wc -l ;;
        *) break ;;
    esac
done
END
cat >/usr/local/sbin/count <<'END'
#!/bin/bash
read -r line
echo "${#line} characters, $(echo "$line" | wc -w) words"
END
chmod 755 /usr/local/sbin/status /usr/local/sbin/count
# Many services ask who is calling.
names

# Sends lines to a port and checks what comes back.
ask() {
    # The client of a real service waits for the answer before it hangs up.
    local said
    said=$( (printf "$2"; sleep 0.7) | peer timeout 10 nc -N -w 5 "$SERVER" "$1" | tr -d '\0')
    echo "$said" | grep -q "$3" && return
    echo "port $1 says: $said"
    return 1
}

by_inetd() {
    printf '%s\n' \
        '7 stream tcp nowait root internal' \
        '7001 stream tcp nowait nobody /usr/local/sbin/status status' \
        '7002 stream tcp nowait nobody /usr/local/sbin/count count' \
        '7003 stream tcp nowait root /usr/bin/python3 python3 /srv/work/time.py' \
        '7004 stream tcp nowait root /bin/sh sh /usr/local/sbin/status' \
        '873 stream tcp nowait root /usr/bin/rsync rsync --daemon' \
        '9418 stream tcp nowait root /usr/bin/git git daemon --inetd --export-all --base-path=/srv/git' |
        grep -v internal >/etc/inetd.conf
    inetd
    await 7001
    for _ in 1 2 3; do
        ask 7001 'load\ndisk\nusers\nend\n' '/'
        ask 7002 'three small words\n' '3 words'
        ask 7003 'now\n' '20'
        ask 7004 'load\ndisk\nend\n' '/'
    done
}

rsync_daemon() {
    printf '[etc]\npath = /etc/ssh\nread only = yes\nuid = root\n' >/etc/rsyncd.conf
    peer rsync -a "rsync://$SERVER/etc/" /tmp/etc-copy/
    test -s /tmp/etc-copy/sshd_config
}

git_daemon() {
    git init -q --bare /srv/git/site.git
    git config --global user.email admin@example.net
    git config --global user.name admin
    git config --global init.defaultBranch main
    git clone -q /srv/git/site.git /tmp/seed && cd /tmp/seed
    date >date && git add . && git commit -q -m first && git push -q origin HEAD
    git config --system --add safe.directory '*'
    peer git clone -q "git://$SERVER/site.git" /tmp/by-inetd
    git daemon --export-all --base-path=/srv/git --port=9419 --detach --reuseaddr \
        --enable=receive-pack
    await 9419
    peer git clone -q "git://$SERVER:9419/site.git" /tmp/by-daemon
    cd /tmp/by-daemon && date >>date && git commit -q -a -m second
    peer git push -q origin HEAD
}

tcpserver_script() {
    service_of games tcpserver tcpserver -RHl0 0 7011 /usr/local/sbin/status
    service_of games tcpserver-sh tcpserver -RHl0 0 7012 /bin/sh -c 'read x; uptime; df -h / | tail -n 1'
    await 7011 && await 7012
    for _ in 1 2 3; do
        ask 7011 'load\ndisk\nend\n' '/'
        ask 7012 'x\n' 'load'
    done
}

socat_exec() {
    service_of games socat-exec socat TCP-LISTEN:7021,fork,reuseaddr EXEC:/usr/local/sbin/status
    service_of games socat-system socat TCP-LISTEN:7022,fork,reuseaddr SYSTEM:'uptime; date'
    service_of games socat-pty socat TCP-LISTEN:7023,fork,reuseaddr EXEC:/usr/local/sbin/count,pty,echo=0
    await 7021 && await 7022 && await 7023
    for _ in 1 2 3; do
        ask 7021 'load\ndisk\nend\n' '/'
        ask 7022 'x\n' 'load'
        ask 7023 'a b c\n' '3 words'
    done
}

socket_activation() {
    setsid --fork systemd-socket-activate --accept --inetd -l 7031 /usr/local/sbin/status \
        </dev/null >/dev/null 2>&1
    setsid --fork systemd-socket-activate --accept --inetd -l 7032 /bin/bash /usr/local/sbin/count \
        </dev/null >/dev/null 2>&1
    await 7031 && await 7032
    for _ in 1 2 3; do
        ask 7031 'load\ndisk\nend\n' '/'
        ask 7032 'a b\n' '2 words'
    done
}

munin() {
    sed -i 's/^allow .*//' /etc/munin/munin-node.conf
    echo 'cidr_allow 203.0.113.0/24' >>/etc/munin/munin-node.conf
    cd /etc/munin/plugins && for plugin in df load processes uptime users cpu memory; do
        ln -sf /usr/share/munin/plugins/$plugin .
    done
    install -d /run/munin /var/log/munin
    cat >/etc/munin/plugins/queue <<'END'
#!/bin/sh
[ "$1" = config ] && { echo graph_title Queue; echo queue.label mails; exit; }
echo "queue.value $(find /var/spool -type f 2>/dev/null | wc -l)"
END
    chmod 755 /etc/munin/plugins/queue
    munin-node
    await 4949
    for _ in 1 2 3; do
        ask 4949 'list\nconfig df\nfetch df\nfetch load\nfetch processes\nfetch users\nfetch queue\nquit\n' 'queue.value'
    done
}

by_nrpe() {
    sed -i "s/^allowed_hosts=.*/allowed_hosts=127.0.0.1,$PEER/" /etc/nagios/nrpe.cfg
    cat >>/etc/nagios/nrpe.cfg <<'END'
command[here_disk]=/usr/lib/nagios/plugins/check_disk -w 1% -c 1% -p /
command[here_procs]=/usr/lib/nagios/plugins/check_procs -w 9000 -c 9999
command[here_script]=/usr/local/lib/here_script
command[here_sudo]=/usr/bin/sudo -n -u nobody /usr/bin/uptime
END
    cat >/usr/local/lib/here_script <<'END'
#!/bin/sh
df -P / | tail -n 1 | awk '{print "OK - " $5}'
END
    chmod 755 /usr/local/lib/here_script
    install -d -o nagios /run/nagios
    nrpe -c /etc/nagios/nrpe.cfg -d
    await 5666
    for _ in 1 2 3; do
        for check in here_disk here_procs here_script check_load check_users; do
            peer timeout 10 /usr/lib/nagios/plugins/check_nrpe -H "$SERVER" -c $check || [ $? -lt 3 ]
        done
    done
}

zabbix() {
    cat >/etc/zabbix/zabbix_agentd.conf <<END
Server=$PEER
LogFile=/var/log/zabbix-agent/zabbix_agentd.log
PidFile=/run/zabbix/zabbix_agentd.pid
UserParameter=users.count,who | wc -l
UserParameter=disk.used[*],df -P \$1 | awk 'NR==2 {print \$\$5}'
AllowKey=system.run[*]
END
    install -d -o zabbix /run/zabbix /var/log/zabbix-agent
    service_of zabbix zabbix zabbix_agentd -f -c /etc/zabbix/zabbix_agentd.conf
    await 10050
    for key in agent.ping users.count 'disk.used[/]' 'system.run[uptime]' 'system.uname'; do
        # The length, as four bytes and four zeros, is between the head and the key.
        ask 10050 "ZBXD\\001$(printf '\\%03o' ${#key})\\000\\000\\000\\000\\000\\000\\000$key" ZBXD
    done
}

node_exporter() {
    service_of games exporter prometheus-node-exporter
    await 9100
    for _ in 1 2 3; do
        peer curl -sf "http://$SERVER:9100/metrics" | grep -q node_load1
    done
    for script in /usr/share/prometheus-node-exporter-collectors/*.sh; do
        timeout 10 "$script" >/dev/null 2>&1 || true
    done
}

# A small agent of one's own, in Python, asked by the monitoring server: runs plug-ins, answers.
own_agent() {
    install -d /opt/monitor && cp $WORK/time.py /opt/monitor/agent.py
    service_of games own python3 /opt/monitor/agent.py 7041
    await 7041
    for _ in 1 2 3; do ask 7041 'load\ndisk\nusers\nkernel\nend\n' 'Linux'; done
}

# A client that hangs up before its answer is there; programs run on with a dead connection.
impatient() {
    for _ in 1 2 3; do
        printf 'load\ndisk\nusers\nend\n' | peer timeout 10 nc -N -w 1 "$SERVER" 7001 || true
        printf 'load\ndisk\nusers\nend\n' | peer timeout 0.1 nc "$SERVER" 7004 || true
    done
}

step inetd by_inetd
step impatient impatient
step rsync-daemon rsync_daemon
step git-daemon git_daemon
step tcpserver tcpserver_script
step socat socat_exec
step socket-activation socket_activation
step munin munin
step nrpe by_nrpe
step zabbix zabbix
step node-exporter node_exporter
step own-agent own_agent
