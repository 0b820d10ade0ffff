# Backups: much is read, packed and sent away, mostly through SSH, to a machine that is told what to
# run there.
. /srv/work/lib.sh

both_machines() {
    names
    ssh_server
    peer /usr/sbin/sshd -o PidFile=/run/sshd-peer.pid
    await_peer 22
    ssh root@$PEER true
    install -d /srv/data /srv/store
    cp -a /usr/share/doc/bash /usr/share/doc/git /etc /srv/data/
}

rsync_over_ssh() {
    rsync -a --delete /srv/data/ root@$PEER:/srv/store/rsync/
    rsync -a --link-dest=../rsync /srv/data/ root@$PEER:/srv/store/rsync.1/
    # The backup host fetches.
    peer rsync -a --rsync-path='ionice -c3 rsync' root@$SERVER:/srv/data/ /srv/store/pulled/
}

borg_over_ssh() {
    export BORG_PASSPHRASE=secret BORG_RELOCATED_REPO_ACCESS_IS_OK=yes
    export BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK=yes
    borg init --encryption=repokey ssh://root@$PEER/srv/store/borg
    borg create --compression lz4 ssh://root@$PEER/srv/store/borg::first /srv/data
    borg list ssh://root@$PEER/srv/store/borg
    borg prune --keep-last 1 ssh://root@$PEER/srv/store/borg
}

restic_over_sftp() {
    export RESTIC_PASSWORD=secret
    restic -q -r sftp:root@$PEER:/srv/store/restic init
    restic -q -r sftp:root@$PEER:/srv/store/restic backup /srv/data
    restic -q -r sftp:root@$PEER:/srv/store/restic snapshots
}

duplicity_over_rsync() {
    ssh root@$PEER 'mkdir -p /srv/store/duplicity'
    # No questions: there is nobody to answer.
    duplicity --no-encryption --archive-dir /tmp/duplicity /srv/data "rsync://root@$PEER//srv/store/duplicity"
    duplicity collection-status --no-encryption --archive-dir /tmp/duplicity "rsync://root@$PEER//srv/store/duplicity"
}

database() {
    install -d -o mysql /run/mysqld
    setsid --fork mariadbd-safe --skip-networking >/var/log/mysql.log 2>&1
    for _ in $(seq 300); do mariadb-admin ping >/dev/null 2>&1 && break; sleep 0.1; done
    mariadb -e 'create database shop; create table shop.t (a int); insert into shop.t values (1)'
    mariadb-dump --all-databases | gzip | ssh root@$PEER 'cat >/srv/store/dump.sql.gz'
    ssh root@$PEER 'gunzip -c /srv/store/dump.sql.gz' | mariadb
    peer ssh root@$SERVER 'mysqldump shop | gzip -9' >/srv/store/pulled.sql.gz
    mariadb-admin shutdown
}

archives() {
    tar cz -C /srv data | ssh root@$PEER 'cat >/srv/store/data.tar.gz'
    ssh root@$PEER 'cat /srv/store/data.tar.gz' | tar tz >/dev/null
    dd if=/srv/data/etc/passwd bs=64k status=none | gzip | ssh root@$PEER dd of=/srv/store/image.gz status=none
    find /srv/data -name '*.gz' -print0 | xargs -0 -n 20 md5sum >/tmp/sums
}

# Archives through nc, without SSH, on a network that one trusts.
archives_by_nc() {
    nsenter --net=/run/netns/peer -- setsid --fork sh -c 'nc -l -p 9000 >/srv/store/nc.tar' \
        </dev/null >/dev/null 2>&1
    await_peer 9000
    tar c -C /srv data | nc -N $PEER 9000
    nsenter --net=/run/netns/peer -- setsid --fork sh -c 'tar c -C /srv data | nc -N -l -p 9001' \
        </dev/null >/dev/null 2>&1
    await_peer 9001
    install -d /tmp/restored
    nc -d $PEER 9001 | tar x -C /tmp/restored
    test -d /tmp/restored/data
}

upload() {
    nsenter --net=/run/netns/peer -- setsid --fork python3 -m http.server --directory /srv/store 8090 \
        </dev/null >/dev/null 2>&1
    await_peer 8090
    curl -sf http://store.example.net:8090/data.tar.gz | tar tz >/dev/null
    curl -sf "http://$PEER:8090/data.tar.gz" -o /tmp/data.tar.gz
}

step both-machines both_machines
step rsync rsync_over_ssh
step borg borg_over_ssh
step restic restic_over_sftp
step duplicity duplicity_over_rsync
step database database
step archives archives
step archives-by-nc archives_by_nc
step http upload
