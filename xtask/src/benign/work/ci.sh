# Build agents: long-lived programs that hold or repeat a connection to a controller, are told what
# to run, run it with shells, and send the output back. They do what command loops do.
. /srv/work/lib.sh

useradd -m -s /bin/bash ci
install -d -o ci -g ci /var/lib/ci /var/lib/ci/builds /opt/agents
cp $WORK/poller.py $WORK/runner.py $WORK/remoting.js /opt/agents/
names

controller() {
    nsenter --net=/run/netns/peer -- setsid --fork python3 $WORK/controller.py $WORK/job.sh \
        </dev/null >/var/log/controller.log 2>&1
    await_peer 8080
    await_peer 50000
}

# Whether the controller has the results of this many jobs of an agent.
finished() {
    for _ in $(seq 400); do
        [ "$(grep -c "finished $1 0" /var/log/controller.log)" -ge "$2" ] && return
        sleep 0.1
    done
    tail -n 5 /var/log/controller.log "/var/log/$1.log"
    return 1
}

# Asks for a job every second over HTTP, and runs it as a script in a file (GitHub's way).
poller() {
    service_of ci poller python3 /opt/agents/poller.py poller http://ci.example.net:8080
    finished poller 4
}

# Keeps its connection alive, hands the script to a login shell through a pipe, and sends the log
# while it grows (GitLab's way).
runner() {
    service_of ci runner python3 /opt/agents/runner.py runner http://ci.example.net:8080
    finished runner 4
}

# The same, for a controller in one's own network that is only known by its address.
runner_by_address() {
    peer ip addr add 10.44.7.9/32 dev eth0
    service_of ci nameless python3 /opt/agents/runner.py nameless "http://10.44.7.9:8080"
    finished nameless 4
}

# One connection for everything, both ways, step by step (Jenkins' way).
remoting() {
    service_of ci remoting node /opt/agents/remoting.js remoting ci.example.net 50000
    finished remoting 4
}

# The same in a virtual environment below the user's home directory, by address, as root.
remoting_by_address() {
    install -d /root/agent
    cp /opt/agents/remoting.js /root/agent/
    service_of root unnamed node /root/agent/remoting.js unnamed 10.44.7.9 50000
    finished unnamed 4
}

# An agent that is started over SSH by its controller, and speaks through that (Jenkins' other way).
over_ssh() {
    ssh_server
    install -d -o admin /home/admin/agent
    cp $WORK/remoting.js /home/admin/agent/
    peer timeout 30 python3 $WORK/controller.py --through $WORK/job.sh -- \
        ssh admin@$SERVER node /home/admin/agent/remoting.js sshd - \
        >>/var/log/controller.log 2>&1
    finished sshd 2
}

step controller controller
step poller poller
step runner runner
step runner-by-address runner_by_address
step remoting remoting
step remoting-by-address remoting_by_address
step over-ssh over_ssh
