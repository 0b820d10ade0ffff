# Runs in the Debian that the package is tried in, as a service, on each of its boots: the first does
# all up to the power cut, the second the rest. What it says on the first serial line is counted
# outside: PASS and FAIL with what was tried, NOTE with a figure, CUT, DONE.

exec >/dev/ttyS0 2>&1 </dev/null
export DEBIAN_FRONTEND=noninteractive LC_ALL=C SYSTEMD_PAGER= SYSTEMD_COLORS=0
PATIENCE=120

# check WHAT COMMAND...: it has to succeed.
check() {
	what=$1
	shift
	if "$@" >/tmp/said 2>&1; then
		echo "PASS $what"
	else
		echo "FAIL $what"
		tail -n 15 /tmp/said | sed 's/^/     /'
	fi
}
not() { ! "$@"; }
# eventually COMMAND...: it has to succeed before long; nobody tells us when.
eventually() {
	until=$(($(date +%s) + PATIENCE))
	until "$@" >/dev/null 2>&1; do
		[ "$(date +%s)" -lt "$until" ] || { "$@"; return 1; }
		sleep 0.2
	done
}
main_pid() { systemctl show -P MainPID sensor; }
is_active() { [ "$(systemctl is-active sensor)" = active ]; }
# Watches again, as another process than $1.
is_another_than() { is_active && [ "$(main_pid)" != "$1" ]; }
journal() { journalctl -q -u sensor -o cat --no-pager; }
says() { journal | grep -q -e "$1"; }
starts() { journal | grep -c '"dataset":"sensor.started"'; }
last_start() { journal | grep '"dataset":"sensor.started"' | tail -n 1; }
# The last start told how the run before ended: in_order true or false.
told() { last_start | grep -q "\"in_order\":$1"; }
# ... and since when nobody watched: a time not before $1, in seconds since the epoch.
told_since() {
	at=$(last_start | sed -n 's/.*"until":"\([^"]*\)".*/\1/p')
	[ -n "$at" ] && [ "$(date -d "$at" +%s)" -ge "$1" ]
}
thread_named() {
	for task in /proc/"$1"/task/*; do
		[ "$(cat "$task/comm")" = "$2" ] && basename "$task" && return
	done
	return 1
}
# Every thread has this set of capabilities.
all_threads_have() {
	for task in /proc/"$1"/task/*; do
		grep -q "^$2:[[:space:]]*$3\$" "$task/status" || { cat "$task/status"; return 1; }
	done
}

# Files that could be the sensor's.
named() {
	find / -xdev -name '*sensor*' ! -path '/trial/*' ! -path '/proc/*' ! -path '/sys/*' ! -path '/tmp/*' | sort
}

before_the_cut() {
	named >/trial/before
	check "apt install starts it" apt-get install -q -y /trial/first.deb
	sed 's/^/     /' /tmp/said
	check "it is active, which it is only once it watches" is_active
	check "it is started on every boot" systemctl is-enabled sensor
	check "its state is in words" sh -c 'systemctl show -P StatusText sensor | grep -E "^(healthy|degraded): "'
	echo "NOTE $(systemctl show -P StatusText sensor)"
	check "the first event is in the journal" eventually says sensor.started
	check "there was no run before" not told '\(true\|false\)'
	pid=$(main_pid)
	check "it has not a mount namespace of its own" \
		[ "$(readlink /proc/1/ns/mnt)" = "$(readlink "/proc/$pid/ns/mnt")" ]
	check "no thread can get back what it gave up" all_threads_have "$pid" CapBnd "$(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$pid/status")"
	echo "NOTE capabilities $(sed -n 's/^CapEff:[[:space:]]*//p' "/proc/$pid/status")"
	systemd-analyze security sensor >/tmp/security 2>&1
	echo "NOTE systemd-analyze security: $(tail -n 1 /tmp/security)"
	check "the score is below 6" awk '/Overall exposure/ { found = 1; for (i = 1; i <= NF; i++) if ($i + 0 > 0) exit !($i < 6) } END { if (!found) exit 1 }' /tmp/security
	check "nothing is refused to it by the unit" not says 'Operation not permitted'

	check "the command line asks it" sensor status
	check "an address is blocked from outside" sensor block 192.0.2.7 --reason trial
	check "and the sensor tells" eventually says response.block
	check "the pins are there for everybody" [ -e /sys/fs/bpf/sensor/maps ]
	sleep 100000 &
	sleeper=$!
	check "a process is frozen from outside" sensor freeze $sleeper --reason trial
	check "an intruder is told of" sh -c 'sensor drill pipe-relay; true'
	check "by the service" eventually says remote-shell

	check "reload" systemctl reload sensor
	check "the rules are read again" eventually says 'the rules are those on disk now'
	check "and it still watches" is_active

	now=$(date +%s)
	kill -KILL "$pid"
	check "killed, it comes back" eventually is_another_than "$pid"
	check "and says that it did not stop in order" eventually told false
	check "and since when nobody watched" told_since $((now - 6))

	pid=$(main_pid)
	kill -STOP "$pid"
	now=$(date +%s)
	check "stopped by a signal, the watchdog ends it" eventually is_another_than "$pid"
	echo "NOTE $(($(date +%s) - now)) s from SIGSTOP until it watched again"
	check "and it says that it did not stop in order" eventually told false

	# One thread alone: PTRACE_ATTACH (16) by the system call (101), as perl-base can. It waits for
	# that thread (__WALL), or what is left of it would keep the process from ending.
	pid=$(main_pid)
	now=$(date +%s)
	perl -e 'syscall(101, 16, $ARGV[0] + 0, 0, 0) == 0 or die $!; 1 while waitpid($ARGV[0], 0x40000000) > 0' "$(thread_named "$pid" pipeline)" &
	tracer=$!
	check "with only the pipeline hung, the watchdog ends it" eventually is_another_than "$pid"
	echo "NOTE $(($(date +%s) - now)) s from the pipeline's hang until it watched again"
	check "the manager says why" sh -c 'journalctl -q -u sensor --no-pager | grep -i watchdog'
	check "and it says that it did not stop in order" eventually told false
	check "not after the pipeline hung" not told_since $((now + 7))
	kill $tracer

	echo '# changed by the administrator' >>/etc/sensor/sensor.toml
	pid=$(main_pid)
	check "upgrade" apt-get install -q -y /trial/newer.deb
	check "the new one runs" eventually is_another_than "$pid"
	check "it is the new one" sh -c 'dpkg-query -W sensor | grep newer'
	check "the old one stopped in order" eventually told true
	check "the configuration is as it was left" grep -q administrator /etc/sensor/sensor.toml
	check "what is blocked stayed so" sh -c 'sensor blocks | grep 192.0.2.7'
	check "installed files are as they were packed" not sh -c 'dpkg --verify sensor | grep -v " c "'

	date +%s >/trial/cut
	sync
	echo "CUT"
	sleep 1000
}

after_the_cut() {
	check "after a power cut it watches again" eventually is_active
	check "and says that it did not stop in order" eventually told false
	check "and since when nobody watched" told_since $(($(cat /trial/cut) - 40))
	pid=$(main_pid)
	echo "NOTE memory: $(sed -n 's/^VmRSS:[[:space:]]*//p' "/proc/$pid/status") resident, $(systemctl show -P MemoryCurrent sensor) bytes in its control group"

	check "stop" systemctl stop sensor
	check "it ended well" [ "$(systemctl show -P Result sensor)" = success ]
	check "the last event is in the journal" eventually says sensor.stopped
	check "start" systemctl start sensor
	check "the run before stopped in order" eventually told true
	check "a second sensor is refused" not sensor run --duration 1s
	journal | grep '"dataset":"sensor.started"' >/tmp/starts
	check "every start but the first told of the one before" \
		[ "$(($(wc -l </tmp/starts) - 1))" = "$(grep -c '"in_order"' /tmp/starts)" ]
	echo "NOTE $(wc -l </tmp/starts) starts, $(grep -c '"in_order":false' /tmp/starts) after an end out of order"

	check "something is blocked" sensor block 192.0.2.9
	sleep 100000 &
	sleeper=$!
	check "something is frozen" sensor freeze $sleeper
	check "remove" apt-get remove -q -y sensor
	check "what is blocked stays so" [ -e /sys/fs/bpf/sensor ]
	check "purge" apt-get purge -q -y sensor
	check "dpkg knows nothing of it" not dpkg-query -W sensor
	for path in /var/lib/sensor /var/log/sensor /run/sensor /etc/sensor /sys/fs/bpf/sensor \
		/sys/fs/cgroup/sensor.frozen /usr/bin/sensor; do
		check "$path is gone" [ ! -e $path ]
	done
	check "what was frozen goes on" sh -c "grep -v frozen /proc/$sleeper/cgroup && kill $sleeper"
	named >/tmp/after
	check "no file is left" diff /trial/before /tmp/after
	check "systemd knows nothing of it" not systemctl cat sensor
	echo "DONE"
	sleep 1000
}

if [ -e /trial/cut ]; then after_the_cut; else before_the_cut; fi
