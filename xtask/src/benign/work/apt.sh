# Packages: installed, configured anew, upgraded, removed, with all scripts and triggers of theirs.
. /srv/work/lib.sh
names
LIMIT=330
export DEBIAN_FRONTEND=noninteractive

lists() {
    cd /srv/pool
    dpkg-scanpackages -m . >Packages 2>/dev/null
    echo 'deb [trusted=yes] file:/srv/pool ./' >/etc/apt/sources.list.d/pool.list
    rm -f /etc/apt/sources.list
    apt-get -q update
}

installed() { dpkg-query -W -f '${db:Status-Status}\n' | grep -c '^installed$'; }

install_all() {
    local before
    before=$(installed)
    xargs apt-get -q install -y --no-install-recommends </srv/pool/wanted
    echo "$(($(installed) - before)) packages"
    [ $(($(installed) - before)) -ge 300 ]
}

# Some services as their packages start them.
services() {
    for name in memcached redis-server lighttpd mosquitto; do
        /etc/init.d/$name start || true
    done
    sleep 1
    for name in memcached redis-server lighttpd mosquitto; do
        /etc/init.d/$name status || true
        /etc/init.d/$name stop || true
    done
}

npm_scripts() {
    install -d /tmp/site && cd /tmp/site
    echo '{"name":"site","version":"1.0.0","scripts":{"prebuild":"rm -rf dist && mkdir dist","build":"node -e \"require(`fs`).writeFileSync(`dist/a.js`, `1`)\"","test":"node --check dist/a.js && ls dist","postinstall":"echo done"}}' |
        tr '`' "'" >package.json
    export npm_config_update_notifier=false npm_config_offline=true
    npm run build && npm test && npm install
}

configure_anew() {
    for package in tzdata openssh-server man-db ca-certificates locales chrony; do
        dpkg-reconfigure -f noninteractive $package || true
    done
    echo 'en_US.UTF-8 UTF-8' >>/etc/locale.gen && locale-gen
    update-alternatives --auto editor
    dpkg --verify | head
}

upgrade() {
    cd /tmp
    for package in memcached monit vsftpd; do
        dpkg-deb -R /srv/pool/${package}_*.deb $package
        sed -i 's/^Version: .*/&+new1/' $package/DEBIAN/control
        dpkg-deb -b $package /srv/pool/
    done
    lists
    apt-get -q -y dist-upgrade
    apt-get -q -y --reinstall install memcached monit vsftpd chrony fail2ban locales
}

remove_all() {
    xargs apt-get -q purge -y </srv/pool/wanted
    apt-get -q autoremove --purge -y
    apt-get clean
}

step lists lists
step install install_all
step services services
step npm npm_scripts
step configure configure_anew
step upgrade upgrade
step remove remove_all
