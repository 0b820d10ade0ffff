//! The web servers: what makes each a site with an upload form, how it is started, what visitors
//! ask for, and what an intruder puts there. The applications themselves are in `apps/`.

use serde::{Deserialize, Serialize};

/// A web server with a site.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Stack {
    pub(super) name: String,
    pub(super) port: u16,
    /// Files to be written: where, what.
    files: Vec<(String, String)>,
    /// A script that prepares the site and starts everything, and does not wait for it.
    start: String,
    /// What visitors ask for.
    pub(super) pages: Vec<String>,
    /// Where files are sent to.
    pub(super) form: String,
    /// What the intruder's script is called, and what is in it.
    pub(super) shell: (String, String),
    /// Where it is then: asked for with a command behind it, and in the file system.
    pub(super) address: String,
    pub(super) path: String,
}

impl Stack {
    /// The same with the intruder's script in its place already.
    pub(super) fn planted(mut self) -> Self {
        self.files.push((self.path.clone(), self.shell.1.clone()));
        self
    }

    pub(super) fn files(&self) -> &[(String, String)] {
        &self.files
    }

    pub(super) fn start(&self) -> &str {
        &self.start
    }
}

/// What a site consists of, as it is written down here.
struct Plan<'p> {
    name: &'p str,
    port: u16,
    files: &'p [(&'p str, &'p str)],
    start: &'p str,
    pages: &'p [&'p str],
    form: &'p str,
    shell: (&'p str, &'p str),
    address: &'p str,
    path: &'p str,
}

impl Plan<'_> {
    fn stack(&self) -> Stack {
        let owned = |pair: &(&str, &str)| (pair.0.to_owned(), pair.1.to_owned());
        Stack {
            name: self.name.to_owned(),
            port: self.port,
            files: self.files.iter().map(owned).collect(),
            start: self.start.to_owned(),
            pages: self.pages.iter().map(|page| (*page).to_owned()).collect(),
            form: self.form.to_owned(),
            shell: owned(&self.shell),
            address: self.address.to_owned(),
            path: self.path.to_owned(),
        }
    }
}

const PHP_SITE: [(&str, &str); 4] = [
    ("/var/www/html/index.php", include_str!("apps/index.php")),
    ("/var/www/html/lib/page.php", include_str!("apps/page.php")),
    ("/var/www/html/thumb.php", include_str!("apps/thumb.php")),
    ("/var/www/html/upload.php", include_str!("apps/upload.php")),
];
const NGINX_SITE: &str = "server {
    listen 80 default_server;
    root /var/www/html;
    index index.php;
    location ~ \\.php$ {
        include snippets/fastcgi-php.conf;
        fastcgi_pass unix:/run/php/php8.2-fpm.sock;
    }
}
";
const PHP_UPLOADS: &str = "rm -f /var/www/html/index*.html
install -d -o www-data /var/www/html/uploads
";
const APACHE: &str = "mkdir -p /run/apache2 /run/lock/apache2
echo ServerName web-1 >> /etc/apache2/apache2.conf
. /etc/apache2/envvars
apache2 -k start
";

/// All there are.
pub(super) fn all() -> Vec<Stack> {
    [
        nginx_php(),
        apache_php(),
        tomcat(),
        gunicorn(),
        node(),
        cgi(),
    ]
    .into()
}

fn php(name: &str, files: &[(&str, &str)], start: &str) -> Stack {
    Plan {
        name,
        port: 80,
        files,
        start,
        pages: &["/index.php", "/thumb.php"],
        form: "/upload.php",
        shell: ("logo.php", include_str!("apps/shell.php")),
        address: "/uploads/logo.php?c=",
        path: "/var/www/html/uploads/logo.php",
    }
    .stack()
}

fn nginx_php() -> Stack {
    let mut files = PHP_SITE.to_vec();
    files.push(("/etc/nginx/sites-available/default", NGINX_SITE));
    let start = format!("{PHP_UPLOADS}mkdir -p /run/php\nphp-fpm8.2\nnginx\n");
    php("nginx-php", &files, &start)
}

fn apache_php() -> Stack {
    let start = format!("{PHP_UPLOADS}{APACHE}");
    php("apache-php", &PHP_SITE, &start)
}

fn tomcat() -> Stack {
    Plan {
        name: "tomcat",
        port: 8080,
        files: &[
            ("/var/lib/tomcat10/webapps/shop/index.jsp", include_str!("apps/index.jsp")),
            ("/var/lib/tomcat10/webapps/shop/upload.jsp", include_str!("apps/upload.jsp")),
            ("/var/lib/tomcat10/webapps/shop/WEB-INF/web.xml", include_str!("apps/web.xml")),
        ],
        start: "mkdir -p /var/lib/tomcat10/webapps/shop/up /var/cache/tomcat10 /var/log/tomcat10
chown -R tomcat /var/lib/tomcat10/webapps /var/cache/tomcat10 /var/log/tomcat10
cd /var/lib/tomcat10
export CATALINA_HOME=/usr/share/tomcat10 CATALINA_BASE=/var/lib/tomcat10
export JAVA_HOME=/usr/lib/jvm/default-java JAVA_OPTS='-Xmx256m -XX:+UseSerialGC'
setpriv --reuid=tomcat --regid=tomcat --init-groups /usr/share/tomcat10/bin/catalina.sh run >/tmp/tomcat.log 2>&1 &
",
        pages: &["/shop/index.jsp"],
        form: "/shop/upload",
        shell: ("logo.jsp", include_str!("apps/shell.jsp")),
        address: "/shop/up/logo.jsp?c=",
        path: "/var/lib/tomcat10/webapps/shop/up/logo.jsp",
    }
    .stack()
}

fn gunicorn() -> Stack {
    Plan {
        name: "gunicorn",
        port: 8000,
        files: &[("/srv/shop/app.py", include_str!("apps/app.py"))],
        start: "install -d -o www-data /srv/shop/plugins
cd /srv/shop
setpriv --reuid=www-data --regid=www-data --init-groups gunicorn -w 2 -b 0.0.0.0:8000 app:app >/tmp/gunicorn.log 2>&1 &
",
        pages: &["/", "/thumb"],
        form: "/upload",
        shell: ("stats.py", include_str!("apps/shell.py")),
        address: "/plugin/stats?c=",
        path: "/srv/shop/plugins/stats.py",
    }
    .stack()
}

fn node() -> Stack {
    Plan {
        name: "node",
        port: 3000,
        files: &[("/srv/node/server.js", include_str!("apps/server.js"))],
        start: "install -d -o www-data /srv/node/plugins
cd /srv/node
setpriv --reuid=www-data --regid=www-data --init-groups node server.js >/tmp/node.log 2>&1 &
",
        pages: &["/", "/thumb"],
        form: "/upload",
        shell: ("stats.js", include_str!("apps/shell.js")),
        address: "/plugin/stats?c=",
        path: "/srv/node/plugins/stats.js",
    }
    .stack()
}

fn cgi() -> Stack {
    let start = format!(
        "a2dismod -q php8.2\na2enmod -q cgi\nchmod 755 /usr/lib/cgi-bin/*.cgi\n\
         chown www-data /usr/lib/cgi-bin\n{APACHE}"
    );
    Plan {
        name: "cgi",
        port: 80,
        files: &[
            ("/usr/lib/cgi-bin/index.cgi", include_str!("apps/index.cgi")),
            (
                "/usr/lib/cgi-bin/upload.cgi",
                include_str!("apps/upload.cgi"),
            ),
        ],
        start: &start,
        pages: &["/cgi-bin/index.cgi"],
        form: "/cgi-bin/upload.cgi",
        shell: ("logo.cgi", include_str!("apps/shell.cgi")),
        address: "/cgi-bin/logo.cgi?c=",
        path: "/usr/lib/cgi-bin/logo.cgi",
    }
    .stack()
}
