//! What configuration files of web servers say about where pages are: directives that name
//! directories and directives that name further files. Forgiving: what is not understood is
//! passed over, because a server was able to start with it. Reads no files.

/// Directives taken from one file.
const DIRECTIVES_MAX: usize = 256;
/// Longest value that can be a path.
const VALUE_MAX: usize = 1_024;

/// Whose language a file is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `root /var/www;`
    Nginx,
    /// `DocumentRoot "/var/www"`
    Apache,
    /// `chdir = /var/www`
    PhpFpm,
    /// `appBase="webapps"`
    Tomcat,
    /// `server.document-root = "/var/www"`
    Lighttpd,
    /// `root * /var/www`
    Caddy,
}

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Directories that pages are served from, or programs started in, as written.
    pub roots: Vec<String>,
    /// Further files, as written; with stars.
    pub includes: Vec<String>,
}

impl Said {
    /// Reads a file's text.
    #[must_use]
    pub fn read(dialect: Dialect, text: &str) -> Self {
        let mut said = Self::default();
        match dialect {
            Dialect::Nginx => said.statements(text),
            Dialect::Tomcat => said.attributes(text),
            Dialect::Apache => said.lines(text, apache),
            Dialect::PhpFpm => said.lines(text, php_fpm),
            Dialect::Lighttpd => said.lines(text, lighttpd),
            Dialect::Caddy => said.lines(text, caddy),
        }
        said
    }

    fn add(&mut self, found: Option<Directive<'_>>) {
        if self.roots.len() + self.includes.len() >= DIRECTIVES_MAX {
            return;
        }
        let (list, value) = match found {
            Some(Directive::Root(value)) => (&mut self.roots, value),
            Some(Directive::Include(value)) => (&mut self.includes, value),
            None => return,
        };
        let value = value.trim().trim_matches(['"', '\'']);
        // Variables are not known here.
        let is_path = !value.is_empty() && value.len() <= VALUE_MAX && !value.contains('$');
        if is_path && !list.iter().any(|known| known == value) {
            list.push(value.to_owned());
        }
    }

    /// Statements end with a semicolon or a brace, wherever lines end.
    fn statements(&mut self, text: &str) {
        let uncommented: String = text
            .lines()
            .map(|line| line.split('#').next().unwrap_or_default())
            .flat_map(|line| [line, "\n"])
            .collect();
        for statement in uncommented.split([';', '{', '}']) {
            let mut words = statement.split_whitespace();
            let found = match (words.next(), words.next()) {
                (Some("root" | "alias"), Some(path)) => Some(Directive::Root(path)),
                (Some("include"), Some(path)) => Some(Directive::Include(path)),
                _ => None,
            };
            self.add(found);
        }
    }

    fn attributes(&mut self, text: &str) {
        for name in ["appBase=", "docBase="] {
            for (at, _) in text.match_indices(name).take(DIRECTIVES_MAX) {
                let rest = text.get(at + name.len()..).unwrap_or_default();
                let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
                let value = quote.and_then(|quote| rest.get(1..)?.split(quote).next());
                self.add(value.map(Directive::Root));
            }
        }
    }

    fn lines(&mut self, text: &str, directive: fn(&str) -> Option<Directive<'_>>) {
        for line in text.lines() {
            let line = line.trim();
            if !line.starts_with(['#', ';']) {
                self.add(directive(line));
            }
        }
    }
}

enum Directive<'t> {
    Root(&'t str),
    Include(&'t str),
}

/// `Name value`, names in any case; of an alias the last word is the directory.
fn apache(line: &str) -> Option<Directive<'_>> {
    let (name, value) = line.split_once(char::is_whitespace)?;
    match name.to_ascii_lowercase().as_str() {
        "documentroot" => Some(Directive::Root(value)),
        "alias" | "scriptalias" => value.split_whitespace().next_back().map(Directive::Root),
        "include" | "includeoptional" => Some(Directive::Include(value)),
        _ => None,
    }
}

fn php_fpm(line: &str) -> Option<Directive<'_>> {
    let (name, value) = line.split_once('=')?;
    match name.trim() {
        "chdir" | "chroot" | "php_admin_value[doc_root]" | "doc_root" => {
            Some(Directive::Root(value))
        }
        "include" => Some(Directive::Include(value)),
        _ => None,
    }
}

fn lighttpd(line: &str) -> Option<Directive<'_>> {
    if let Some(file) = line.strip_prefix("include ") {
        return Some(Directive::Include(file));
    }
    let (name, value) = line.split_once('=')?;
    (name.trim() == "server.document-root").then_some(Directive::Root(value))
}

fn caddy(line: &str) -> Option<Directive<'_>> {
    let mut words = line.split_whitespace();
    match words.next()? {
        "root" => words.next_back().map(Directive::Root),
        "import" => words.next().map(Directive::Include),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn nginx_names_roots_and_includes_wherever_lines_end() {
        let text = "http {\n include /etc/nginx/sites-enabled/*;\n server { listen 80; # root /no;\n\
                    root\n /var/www/shop; location /img { alias '/srv/img/'; } root $home; } }";
        let said = Said::read(Dialect::Nginx, text);
        assert_eq!(said.roots, ["/var/www/shop", "/srv/img/"]);
        assert_eq!(said.includes, ["/etc/nginx/sites-enabled/*"]);
    }

    #[test]
    fn apache_names_roots_aliases_and_includes_in_any_case() {
        let text = "documentroot \"/var/www/html\"\n# DocumentRoot /no\n\
                    ScriptAlias /cgi-bin/ /usr/lib/cgi-bin/\nIncludeOptional sites-enabled/*.conf\n\
                    Alias /x ${UNKNOWN}/x";
        let said = Said::read(Dialect::Apache, text);
        assert_eq!(said.roots, ["/var/www/html", "/usr/lib/cgi-bin/"]);
        assert_eq!(said.includes, ["sites-enabled/*.conf"]);
    }

    #[test]
    fn others_are_understood_as_far_as_they_name_directories() {
        let roots = |dialect, text| Said::read(dialect, text).roots;
        assert_eq!(
            roots(Dialect::PhpFpm, "[www]\n;chdir = /no\nchdir = /srv/app\n"),
            ["/srv/app"]
        );
        assert_eq!(
            roots(
                Dialect::Tomcat,
                "<Host name=\"x\" appBase=\"webapps\"\n docBase='/srv/a b'>"
            ),
            ["webapps", "/srv/a b"]
        );
        assert_eq!(
            roots(Dialect::Lighttpd, "server.document-root = \"/srv/l\""),
            ["/srv/l"]
        );
        assert_eq!(roots(Dialect::Caddy, "  root * /srv/c\n"), ["/srv/c"]);
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics_and_stays_bounded(text: String) {
            for dialect in [Dialect::Nginx, Dialect::Apache, Dialect::PhpFpm, Dialect::Tomcat,
                            Dialect::Lighttpd, Dialect::Caddy] {
                let said = Said::read(dialect, &text);
                prop_assert!(said.roots.len() + said.includes.len() <= DIRECTIVES_MAX);
            }
        }

        #[test]
        fn any_root_that_is_written_down_is_found(name in "/[a-z]{1,8}(/[a-z]{1,8}){0,4}") {
            let nginx = format!("server {{ root {name}; }}");
            prop_assert_eq!(Said::read(Dialect::Nginx, &nginx).roots, [name.clone()]);
            let apache = format!("DocumentRoot {name}");
            prop_assert_eq!(Said::read(Dialect::Apache, &apache).roots, [name]);
        }
    }
}
