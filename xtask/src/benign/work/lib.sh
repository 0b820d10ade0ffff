# What the scenarios' scripts have in common. Each is a list of steps; how a step ended is told to
# the harness in lines that begin with @ (../steps.rs).

# This machine, and the other one, on the other end of a cable.
SERVER=10.44.0.2
PEER=203.0.113.7
WORK=/srv/work
# How long one step may take, in seconds.
LIMIT=${LIMIT:-90}
# Old daemons close every descriptor there might be, one by one.
ulimit -S -n 4096

# Does something on the other machine, which has the same files.
peer() { nsenter --net=/run/netns/peer -- "$@"; }

# step NAME FUNCTION: a step fails with its first command that fails, or when it takes too long.
step() {
    local name=$1 status
    echo "@begin $name"
    ( set -e; "${@:2}" ) </dev/null &
    local job=$!
    ( sleep "$LIMIT"; kill -KILL $job ) >/dev/null 2>&1 &
    local guard=$!
    wait $job
    status=$?
    pkill -P $guard 2>/dev/null
    echo "@end $name $status"
}

skip() {
    echo "@begin $1"
    echo "@end $1 ${*:2}"
}

# Waits until somebody listens on a port of this machine, or of the other.
await() {
    for _ in $(seq 150); do
        ss -Hltn "sport = :$1" | grep -q . && return
        sleep 0.1
    done
    return 1
}

await_peer() {
    for _ in $(seq 150); do
        peer ss -Hltn "sport = :$1" | grep -q . && return
        sleep 0.1
    done
    return 1
}

# Runs a program as a service: a session of its own, no terminal, output to a file.
service_of() {
    local user=$1 name=$2
    shift 2
    setsid --fork setpriv --reuid="$user" --regid="$user" --init-groups \
        "$@" </dev/null >"/var/log/$name.log" 2>&1
}

# A name service on the other machine, which knows every name under example.net.
names() {
    echo "nameserver $PEER" >/etc/resolv.conf
    printf '127.0.0.1 localhost\n%s web-1\n' "$SERVER" >/etc/hosts
    nsenter --net=/run/netns/peer -- setsid --fork python3 $WORK/names.py "$PEER" \
        </dev/null >/var/log/names.log 2>&1
    for _ in $(seq 100); do
        peer ss -Hlun "sport = :53" | grep -q . && return
        sleep 0.1
    done
    return 1
}

# Keys, and an SSH server for this machine: root and a user `admin` with a password may log in.
ssh_server() {
    install -d -m 755 /run/sshd
    id admin >/dev/null 2>&1 || useradd -m -s /bin/bash admin
    echo 'admin:correct horse' | chpasswd
    install -d -m 700 /root/.ssh
    install -d -m 700 -o admin -g admin /home/admin/.ssh
    ssh-keygen -q -t ed25519 -N '' -f /root/.ssh/id_ed25519
    cp /root/.ssh/id_ed25519.pub /root/.ssh/authorized_keys
    install -m 600 -o admin -g admin /root/.ssh/id_ed25519.pub /home/admin/.ssh/authorized_keys
    printf 'Host *\n  StrictHostKeyChecking accept-new\n  LogLevel ERROR\n' >/root/.ssh/config
    printf 'PermitRootLogin yes\nPasswordAuthentication yes\nAllowTcpForwarding yes\n' \
        >/etc/ssh/sshd_config.d/here.conf
    /usr/sbin/sshd
    await 22
}
