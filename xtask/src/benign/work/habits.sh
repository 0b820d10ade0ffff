# What administrators type, and what monitoring starts, all day long: a list of lines, each run
# again and again in a scratch directory, until there were enough of them.
. /srv/work/lib.sh
names
LIMIT=800
# Rounds through the list; a round is about 430 programs.
ROUNDS=${ROUNDS:-440}

scratch() {
    install -d /srv/scratch && cd /srv/scratch
    cp -r /etc/ssh /etc/apt /usr/share/doc/bash .
    for n in $(seq 30); do
        seq "$n" 9 4000 >"numbers$n.txt"
        printf 'GET /page%d 200\nGET /x%d 404\nPOST /form 302\n' "$n" "$n" >"access$n.log"
    done
}

# One round, each line by a shell as from a prompt.
lines() {
    cd /srv/scratch
    while IFS= read -r line; do
        case "$line" in '' | '#'*) continue ;; esac
        bash -c "$line" >/dev/null 2>&1
    done <$WORK/lines.txt
}

rounds() {
    local failed=0
    for _ in $(seq "$ROUNDS"); do lines || failed=$((failed + 1)); done
    [ "$failed" -lt "$ROUNDS" ]
}

# Both processors.
by_the_thousand() {
    ROUNDS=$((ROUNDS / 2))
    rounds &
    local other=$!
    cp -r /srv/scratch /srv/scratch2
    rounds
    wait $other
}

plugins() {
    for _ in $(seq 20); do
        for check in check_disk:-w:5%:-c:1% check_load:-w:99:-c:99 check_procs:-w:9999 check_users:-w:99:-c:99; do
            # shellcheck disable=SC2086
            /usr/lib/nagios/plugins/${check%%:*} $(echo "${check#*:}" | tr : ' ') || true
        done
        for plugin in cpu df load memory processes uptime; do
            MUNIN_LIBDIR=/usr/share/munin /usr/share/munin/plugins/$plugin || true
        done
    done
}

step scratch scratch
step plugins plugins
step lines by_the_thousand
