# People and programs that log in over SSH, from the other machine to this one and from this one
# to the other, with all that SSH can do.
. /srv/work/lib.sh

servers() {
    ssh_server
    # The other machine's: the same files.
    peer /usr/sbin/sshd -o PidFile=/run/sshd-peer.pid
    await_peer 22
    peer ssh root@$SERVER true
    ssh root@$PEER true
}

commands() {
    for _ in $(seq 8); do
        peer ssh admin@$SERVER uptime
        peer ssh root@$SERVER 'df -h / | tail -n 1; ps aux | grep -c sshd; ls -l /etc | wc -l'
    done
    peer sshpass -p 'correct horse' ssh -o PubkeyAuthentication=no admin@$SERVER id
}

# Types lines at a login shell, with pauses as people make them.
typed() {
    for line in "$@"; do
        sleep 0.3
        printf '%s\n' "$line"
    done
    sleep 0.3
    echo exit
}

terminal() {
    typed 'id' 'ls -l /etc | head' 'ps aux | head' 'cat /etc/os-release' 'history' 'uname -a' |
        peer ssh -tt admin@$SERVER
    typed 'whoami' 'cat /etc/passwd | wc -l' 'ss -ltn' 'last | head' 'journalctl -n 1' |
        peer ssh -tt root@$SERVER
    typed 'w' 'sudo -n true' 'find . | head' | ssh -tt admin@$PEER
}

tmux_and_screen() {
    peer ssh admin@$SERVER 'tmux new-session -d -s work'
    for line in 'id' 'ls -la' 'top -b -n 1 | head -n 3'; do
        peer ssh admin@$SERVER "tmux send-keys -t work '$line' Enter; sleep 0.3"
    done
    peer ssh admin@$SERVER 'tmux capture-pane -p -t work | grep -q uid='
    typed 'tmux attach -t work \; detach' 'id' | peer ssh -tt admin@$SERVER
    peer ssh admin@$SERVER 'tmux kill-server'
    install -d -m 777 /run/screen
    peer ssh admin@$SERVER 'screen -dmS work bash; sleep 0.5; screen -S work -X stuff "id\n"; sleep 0.5; screen -S work -X quit'
}

git_over_ssh() {
    git config --global user.email admin@example.net
    git config --global user.name admin
    git config --global --add safe.directory '*'
    peer ssh admin@$SERVER 'git init -q --bare site.git'
    cat >/home/admin/site.git/hooks/post-receive <<'END'
#!/bin/sh
while read -r old new ref; do
    git log --oneline "$new" | head -n 3
    GIT_WORK_TREE=/home/admin/www git checkout -f "$new"
done
END
    chmod 755 /home/admin/site.git/hooks/post-receive
    install -d -o admin /home/admin/www
    cd /tmp && peer git clone -q admin@$SERVER:site.git site && cd site
    for n in 1 2 3; do
        echo "$n" >page.html && git add . && git commit -q -m "change $n"
        peer git push -q origin HEAD
    done
    peer git fetch -q
    cd /tmp && git clone -q admin@$PEER:site.git again
}

copies() {
    seq 1 20000 >/tmp/numbers
    peer scp -q /tmp/numbers admin@$SERVER:
    peer scp -q -O admin@$SERVER:numbers /tmp/numbers.back
    printf 'put /tmp/numbers n2\nls -l\nget n2 /tmp/n2\nrm n2\n' | peer sftp -b - admin@$SERVER
    peer rsync -a /usr/share/doc/bash/ admin@$SERVER:doc/
    peer rsync -a --delete admin@$SERVER:doc/ /tmp/doc/
    rsync -az /usr/share/doc/bash/ root@$PEER:/tmp/doc2/
    install -d /tmp/etc1 /tmp/etc2
    peer ssh root@$SERVER 'tar c -C /etc ssh' | tar x -C /tmp/etc1
    tar c -C /etc ssh | ssh root@$PEER 'tar x -C /tmp/etc2'
}

# Scripts that go in through standard input, as people and deployment tools do it.
scripts() {
    cat >/tmp/deploy.sh <<'END'
set -e
cd "$(mktemp -d)"
hostname
df -h / >disk
find /etc -name '*.conf' | sort | head -n 20 >list
wc -l list disk
END
    peer ssh admin@$SERVER 'bash -s' </tmp/deploy.sh
    peer ssh admin@$SERVER sh </tmp/deploy.sh
    ssh root@$PEER 'bash -s -- one two' </tmp/deploy.sh
    peer ssh admin@$SERVER python3 - <<'END'
import os
print(os.uname())
END
}

forwards() {
    setsid --fork python3 -m http.server --bind 127.0.0.1 8000 --directory /usr/share/doc/bash \
        >/dev/null 2>&1
    await 8000
    peer ssh -f -N -o ExitOnForwardFailure=yes -L 9000:127.0.0.1:8000 -L 9022:127.0.0.1:22 \
        -D 1080 admin@$SERVER
    peer curl -sf http://127.0.0.1:9000/ >/dev/null
    peer curl -sf --socks5-hostname 127.0.0.1:1080 http://127.0.0.1:8000/ >/dev/null
    peer ssh -p 9022 -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1 'id; uname -a'
    typed id 'ls -l' | peer ssh -tt -p 9022 -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1
    # The other way: this machine calls out, and is reached through that.
    ssh -f -N -o ExitOnForwardFailure=yes -R 9122:127.0.0.1:22 root@$PEER
    peer ssh -p 9122 -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1 'id; uname -a'
    typed id 'ls -l' | peer ssh -tt -p 9122 -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1
    setsid --fork ssh -N -L 9200:127.0.0.1:22 root@$PEER >/dev/null 2>&1
    await 9200
    ssh -p 9200 -o NoHostAuthenticationForLocalhost=yes admin@127.0.0.1 id
}

jumps() {
    peer ssh -J admin@$SERVER root@$PEER id
    peer ssh -o ProxyCommand="ssh -W %h:%p admin@$SERVER" root@$PEER id
    peer ssh -o ProxyCommand="ssh admin@$SERVER nc %h %p" root@$PEER id
    ssh -o ProxyCommand='nc %h %p' root@$PEER id
    ssh -o ProxyCommand='socat - TCP:%h:%p' root@$PEER 'id; uptime'
    ssh -o ControlMaster=auto -o ControlPath=/tmp/mux -o ControlPersist=10 root@$PEER id
    ssh -o ControlPath=/tmp/mux root@$PEER 'ls; id'
}

agent() {
    eval "$(ssh-agent)"
    ssh-add -q /root/.ssh/id_ed25519
    peer ssh -A admin@$SERVER "ssh -o StrictHostKeyChecking=no root@$PEER id"
    ssh-agent -k
}

step servers servers
step commands commands
step terminal terminal
step tmux-and-screen tmux_and_screen
step git git_over_ssh
step copies copies
step scripts scripts
step forwards forwards
step jumps jumps
step agent agent
