# Containers as far as this machine can make them, and what administrators do in and around them.
. /srv/work/lib.sh

namespaces() {
    unshare --mount --pid --fork --mount-proc sh -c 'ps aux; mount | head -n 3; id'
    unshare --user --map-root-user sh -c 'id; ls /root >/dev/null || true'
    setsid --fork unshare --net --uts --pid --fork --mount-proc sleep 30 >/dev/null 2>&1
    sleep 0.5
    local inner
    inner=$(pgrep -n -x sleep)
    nsenter -t "$inner" --net --uts ip addr
    nsenter -t "$inner" --all sh -c 'ps aux; hostname'
    kill "$inner"
}

small_root() {
    install -d /srv/small/{bin,proc,sys,dev,tmp,etc,root,usr,run,var}
    cp -a /usr/bin /usr/lib64 /srv/small/usr/ 2>/dev/null || true
    install -d /srv/small/usr/lib
    cp -a /usr/lib/x86_64-linux-gnu /srv/small/usr/lib/ 2>/dev/null || true
    rm -rf /srv/small/bin && ln -s usr/bin /srv/small/bin
    ln -s usr/lib /srv/small/lib; ln -s usr/lib64 /srv/small/lib64
    cp /etc/passwd /etc/group /srv/small/etc/
    echo 'NAME=small' >/srv/small/etc/os-release
    chroot /srv/small /bin/sh -c 'id; ls /; uname -a'
}

nspawn() {
    mount -t sysfs sysfs /sys 2>/dev/null || true
    timeout 20 systemd-nspawn --register=no --keep-unit -D /srv/small /bin/sh -c 'id; ps aux'
}

# Whether podman can start anything here; if not, its own words.
podman_works() {
    mount -t sysfs sysfs /sys 2>/dev/null
    mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
    install -d /etc/containers
    printf '[containers]\ncgroups = "disabled"\nnetns = "host"\nseccomp_profile = "unconfined"\n[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\nruntime = "crun"\n' \
        >/etc/containers/containers.conf
    printf '[storage]\ndriver = "vfs"\nrunroot = "/run/containers"\ngraphroot = "/tmp/containers"\n' \
        >/etc/containers/storage.conf
    printf '{"default":[{"type":"insecureAcceptAnything"}]}' >/etc/containers/policy.json
    timeout 60 podman run --name first --rootfs /srv/small sh -c 'id; ls /'
}

podman_work() {
    timeout 60 podman run -d --name web --rootfs /srv/small sleep 60
    for _ in 1 2 3; do
        timeout 20 podman exec web sh -c 'id; ps aux; cat /etc/os-release'
        echo 'echo hello; id' | timeout 20 podman exec -i web sh
    done
    timeout 20 podman exec -d web sh -c 'sleep 2; date >/tmp/date'
    printf 'id\nexit\n' | timeout 20 script -qc 'podman exec -it web sh' /dev/null
    timeout 20 podman logs web
    timeout 20 podman rm -f -t 0 web
}

step namespaces namespaces
step chroot small_root
if reason=$(nspawn 2>&1); then
    step nspawn nspawn
else
    skip nspawn "$(echo "$reason" | tail -n 1)"
fi
if reason=$(podman_works 2>&1); then
    step podman podman_work
else
    skip podman "$(echo "$reason" | tail -n 1)"
fi
