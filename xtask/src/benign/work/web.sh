# A real site: WordPress with its database, on Apache with PHP inside and on nginx with php-fpm. The
# other machine's browser installs it, logs in, adds a plug-in and pictures, and visits; tools for
# pictures, mail and archives are started by its pages; scripts maintain it.
. /srv/work/lib.sh
LIMIT=120

database() {
    names
    install -d -o mysql /run/mysqld
    setsid --fork mariadbd-safe --skip-networking >/var/log/mysql.log 2>&1
    for _ in $(seq 300); do mariadb-admin ping >/dev/null 2>&1 && break; sleep 0.1; done
    for name in apache nginx; do
        mariadb -e "create database $name; grant all on $name.* to $name@localhost identified by 'secret'"
    done
}

mail_system() {
    test -e /etc/postfix/main.cf || cp /usr/share/postfix/main.cf.debian /etc/postfix/main.cf
    postconf -e 'inet_interfaces=loopback-only' 'mydestination=localhost, web-1' \
        'default_transport=discard' 'maillog_file=/var/log/mail.log'
    postfix start
}

# site NAME DIRECTORY
site() {
    install -d "$(dirname "$2")"
    cp -rL /usr/share/wordpress "$2"
    rm -rf "$2/wp-config.php"
    cat >"$2/wp-config.php" <<END
<?php
define('DB_NAME', '$1');
define('DB_USER', '$1');
define('DB_PASSWORD', 'secret');
define('DB_HOST', 'localhost');
define('FS_METHOD', 'direct');
define('WP_DEFAULT_THEME', 'plain');
define('WP_HTTP_BLOCK_EXTERNAL', true);
define('WP_ACCESSIBLE_HOSTS', '$SERVER,localhost');
define('AUTH_KEY', 'one'); define('SECURE_AUTH_KEY', 'two'); define('LOGGED_IN_KEY', 'three');
define('NONCE_KEY', 'four');
\$table_prefix = 'wp_';
defined('ABSPATH') || define('ABSPATH', __DIR__ . '/');
require_once ABSPATH . 'wp-settings.php';
END
    # The themes are packages of their own; this one is enough.
    install -d "$2/wp-content/themes/plain"
    printf '/*\nTheme Name: Plain\n*/\n' >"$2/wp-content/themes/plain/style.css"
    printf '<?php wp_head(); while (have_posts()) { the_post(); the_title(); the_content(); } wp_footer();\n' \
        >"$2/wp-content/themes/plain/index.php"
    install -d "$2/tools" "$2/tools/files"
    cp $WORK/tools.php "$2/tools/index.php"
    cp $WORK/maintain.php "$2/../maintain.php"
    chown -R www-data "$2"
    install -d /tmp/plugin/greeting
    cp $WORK/plugin.php /tmp/plugin/greeting/greeting.php
    printf '<?php return "hello";\n' >/tmp/plugin/greeting/words.php
    (cd /tmp/plugin && rm -f greeting.zip && zip -qr greeting.zip greeting)
    convert -size 1600x1200 plasma: /tmp/plugin/photo.jpg
}

apache() {
    site apache /var/www/html/blog
    install -d /run/apache2 /run/lock/apache2
    echo ServerName web-1 >>/etc/apache2/apache2.conf
    apachectl start
    await 80
}

nginx_fpm() {
    site nginx /srv/www/blog
    cat >/etc/nginx/sites-available/default <<'END'
server {
    listen 8080 default_server;
    root /srv/www;
    index index.php;
    client_max_body_size 20m;
    location /blog/ { try_files $uri $uri/ /blog/index.php?$args; }
    location ~ \.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
}
END
    install -d /run/php
    php-fpm8.2
    nginx
    await 8080
}

# The administrator's browser, on the other machine.
browser() {
    peer python3 $WORK/admin.py "$1" "$2" /tmp/plugin/greeting.zip /tmp/plugin/photo.jpg
}

# By cron or by hand, as the site's user: what WP-CLI does.
maintenance() {
    for name in apache:/var/www/html/blog nginx:/srv/www/blog; do
        cd "${name#*:}"
        setpriv --reuid=www-data --regid=www-data --init-groups \
            php "${name#*:}/../maintain.php" "${name%%:*}" "${name#*:}"
        setpriv --reuid=www-data --regid=www-data --init-groups php wp-cron.php
    done
}

step database database
step mail mail_system
step apache apache
step apache-browser browser "http://$SERVER/blog" "$PEER"
step nginx nginx_fpm
step nginx-browser browser "http://$SERVER:8080/blog" "$PEER"
step maintenance maintenance
