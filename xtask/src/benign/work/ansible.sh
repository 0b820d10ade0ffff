# Configuration management: another machine logs in, copies programs over, runs them, removes them.
. /srv/work/lib.sh
LIMIT=200

servers() {
    names
    ssh_server
    cat >/root/inventory <<END
[by_key]
key ansible_host=$SERVER ansible_user=root
[by_password]
password ansible_host=$SERVER ansible_user=admin ansible_password='correct horse' ansible_become=true ansible_become_password='correct horse'
[all:vars]
ansible_python_interpreter=/usr/bin/python3
END
    usermod -aG sudo admin
    cd /srv/pool && dpkg-scanpackages -m . >Packages 2>/dev/null
    echo 'deb [trusted=yes] file:/srv/pool ./' >/etc/apt/sources.list.d/pool.list
    rm -f /etc/apt/sources.list
    tar czf app.tar.gz -C /usr/share/doc bash
    git config --global user.email admin@example.net
    git config --global user.name admin
    git config --global --add safe.directory '*'
    git init -q app.git && cd app.git && date >date && git add . && git commit -q -m first
}

play() {
    cd $WORK
    export ANSIBLE_HOST_KEY_CHECKING=False ANSIBLE_LOCALHOST_WARNING=False
    peer ansible-playbook -i /root/inventory -l "$1" "${@:2}" playbook.yml
}

ad_hoc() {
    export ANSIBLE_HOST_KEY_CHECKING=False
    peer ansible -i /root/inventory key -m setup -a filter=ansible_distribution
    peer ansible -i /root/inventory key -m shell -a 'df -h / | tail -n 1; id'
    peer ansible -i /root/inventory key -m raw -a 'uptime'
    peer ansible -i /root/inventory key -m script -a '/srv/work/lib.sh'
}

step servers servers
step key play by_key
step password play by_password
# Modules go in through the standard input of an interpreter, and are never written down.
export ANSIBLE_PIPELINING=1
step pipelining play by_key
unset ANSIBLE_PIPELINING
step ad-hoc ad_hoc
