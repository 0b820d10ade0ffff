//! Where indicators come from, as the configuration says it (`[[intelligence]]`), checked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::stix::is_technique;
use crate::net::access::Access;
use crate::net::secret::Secret;

/// Lists of one configuration.
pub const SOURCES_MAX: usize = 64;
/// Longest name of one, in bytes.
const NAME_MAX: usize = 64;

/// One list, as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What it is called in alerts: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// One indicator on a line: path of a file, or `https://…`.
    pub list: Option<String>,
    /// A STIX 2.1 bundle: path of a file, or `https://…`.
    pub stix: Option<String>,
    /// API root of a TAXII 2.1 server.
    pub taxii: Option<String>,
    /// Id of the collection there.
    pub collection: Option<String>,
    /// How often it is fetched, in minutes.
    pub every_minutes: u64,
    /// How long an indicator that does not say when it ends holds after it was last fetched, in
    /// days.
    pub valid_days: u64,
    /// How sure indicators are that do not say, in percent.
    pub confidence: u8,
    /// The ATT&CK technique of indicators that name none.
    pub technique: Option<String>,
    /// Whether addresses of private networks count.
    pub private: bool,
    /// Whether addresses and networks are blocked.
    pub block: bool,
    /// How sure an indicator must be for that, in percent.
    pub block_confidence: u8,
    /// Name for basic authentication; without one, the secret is a bearer token.
    pub username: Option<String>,
    /// File with the password or token.
    pub secret_file: Option<PathBuf>,
    /// Variable of the environment with it.
    pub secret_env: Option<String>,
    /// Authorities trusted instead of those of this host, in PEM.
    pub ca: Option<PathBuf>,
    /// Certificate to show, in PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, if that is in another file.
    pub key: Option<PathBuf>,
    /// Proxy, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            list: None,
            stix: None,
            taxii: None,
            collection: None,
            every_minutes: 60,
            valid_days: 30,
            confidence: 60,
            technique: None,
            private: false,
            block: false,
            block_confidence: 80,
            username: None,
            secret_file: None,
            secret_env: None,
            ca: None,
            certificate: None,
            key: None,
            proxy: None,
        }
    }
}

/// Where a document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// On this host.
    File(PathBuf),
    /// On a server.
    Web(String),
}

/// What kind of list it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One indicator on a line.
    List(Place),
    /// A STIX bundle.
    Stix(Place),
    /// A collection of a TAXII server.
    Taxii {
        /// API root.
        root: String,
        /// Id.
        collection: String,
    },
}

impl Kind {
    /// Word for it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::List(_) => "list",
            Self::Stix(_) => "stix",
            Self::Taxii { .. } => "taxii",
        }
    }

    /// Where it is, in one text; what was fetched from elsewhere is of no use.
    #[must_use]
    pub fn location(&self) -> String {
        match self {
            Self::List(place) | Self::Stix(place) => match place {
                Place::File(path) => path.display().to_string(),
                Place::Web(url) => url.clone(),
            },
            Self::Taxii { root, collection } => super::taxii::objects_url(root, collection),
        }
    }
}

/// One list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called.
    pub name: Arc<str>,
    /// Where it is.
    pub from: Kind,
    /// How often it is fetched.
    pub every: Duration,
    /// How long what does not say when it ends holds after it was last fetched, in seconds.
    pub valid_seconds: u64,
    /// How sure what does not say is, in percent.
    pub confidence: u8,
    /// Technique of what names none.
    pub technique: Option<Box<str>>,
    /// Whether addresses of private networks count.
    pub private: bool,
    /// How sure an indicator must be to be blocked; `None` when none is.
    pub block_from: Option<u8>,
    /// What it takes to be let in.
    pub access: Access,
}

impl Options {
    /// The list that is meant.
    ///
    /// # Errors
    /// What is missing, too much or out of range, with the key.
    pub fn check(&self) -> Result<Source, String> {
        let named = |what: &str| format!("{:?}: {what}", self.name);
        let is_name = !self.name.is_empty()
            && self.name.len() <= NAME_MAX
            && !self.name.starts_with('.')
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !is_name {
            return Err(named(
                "name must be letters, digits, - _ . and at most 64 of them",
            ));
        }
        for (key, value) in [
            ("confidence", self.confidence),
            ("block_confidence", self.block_confidence),
        ] {
            if value > 100 {
                return Err(named(&format!("{key} = {value} is out of range: 0 to 100")));
            }
        }
        if !(1..=525_600).contains(&self.every_minutes) || !(1..=3_650).contains(&self.valid_days) {
            return Err(named("every_minutes is 1 to 525600, valid_days 1 to 3650"));
        }
        if let Some(technique) = self.technique.as_deref().filter(|id| !is_technique(id)) {
            return Err(named(&format!(
                "technique = {technique:?} is none; try T1071.001"
            )));
        }
        Ok(Source {
            name: self.name.as_str().into(),
            from: self.from().map_err(|why| named(&why))?,
            every: Duration::from_secs(self.every_minutes * 60),
            valid_seconds: self.valid_days * 86_400,
            confidence: self.confidence,
            technique: self.technique.as_deref().map(Into::into),
            private: self.private,
            block_from: self.block.then_some(self.block_confidence),
            access: self.access().map_err(|why| named(&why))?,
        })
    }

    fn from(&self) -> Result<Kind, String> {
        match (&self.list, &self.stix, &self.taxii, &self.collection) {
            (Some(list), None, None, None) => place("list", list).map(Kind::List),
            (None, Some(stix), None, None) => place("stix", stix).map(Kind::Stix),
            (None, None, Some(root), Some(collection)) => {
                let is_id = !collection.is_empty()
                    && collection
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
                match place("taxii", root)? {
                    Place::Web(root) if is_id => Ok(Kind::Taxii {
                        root,
                        collection: collection.clone(),
                    }),
                    _ => Err("taxii is the https:// address of an API root, collection the id of one in it".to_owned()),
                }
            }
            (None, None, Some(_), None) => Err("taxii needs the id of a `collection`".to_owned()),
            _ => Err("exactly one of list, stix and taxii (with collection) is needed".to_owned()),
        }
    }

    fn access(&self) -> Result<Access, String> {
        let secret = match (&self.secret_file, &self.secret_env) {
            (Some(path), None) => Some(Secret::File(path.clone())),
            (None, Some(name)) => Some(Secret::Variable(name.clone())),
            (None, None) => None,
            _ => return Err("only one of secret_file and secret_env".to_owned()),
        };
        if self.username.is_some() && secret.is_none() {
            return Err("username needs secret_file or secret_env".to_owned());
        }
        let certificate = match (&self.certificate, &self.key) {
            (Some(certificate), key) => Some((
                certificate.clone(),
                key.as_ref().unwrap_or(certificate).clone(),
            )),
            (None, None) => None,
            (None, Some(_)) => return Err("key needs a certificate".to_owned()),
        };
        Ok(Access {
            username: self.username.clone(),
            secret,
            scheme: None,
            authorities: self.ca.clone(),
            certificate,
            proxy: self.proxy.clone(),
        })
    }
}

fn place(key: &str, text: &str) -> Result<Place, String> {
    if text.starts_with('/') {
        return Ok(Place::File(text.into()));
    }
    if !text.starts_with("https://") && !text.starts_with("http://") {
        return Err(format!(
            "{key} = {text:?} is neither a path from / nor https://…"
        ));
    }
    if text.contains('@') {
        return Err(format!(
            "{key}: credentials go into username and secret_file"
        ));
    }
    Ok(Place::Web(text.to_owned()))
}

/// All lists of a configuration.
///
/// # Errors
/// What is wrong with the first that is not accepted.
pub fn check(all: &[Options]) -> Result<Vec<Source>, String> {
    if all.len() > SOURCES_MAX {
        return Err(format!("more than {SOURCES_MAX} lists"));
    }
    let sources: Vec<Source> = all.iter().map(Options::check).collect::<Result<_, _>>()?;
    let mut names: Vec<&str> = sources.iter().map(|source| &*source.name).collect();
    names.sort_unstable();
    match names.windows(2).find(|pair| pair.first() == pair.last()) {
        Some(pair) => Err(format!(
            "{:?}: two lists have that name",
            pair.first().copied().unwrap_or_default()
        )),
        None => Ok(sources),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Source, String> {
        toml::from_str::<Options>(text)
            .map_err(|error| error.to_string())?
            .check()
    }

    #[test]
    fn a_list_is_named_and_has_one_place() {
        let source =
            read("name = 'x'\nlist = '/etc/bad'\nblock = true\nblock_confidence = 50").unwrap();
        assert_eq!(source.from, Kind::List(Place::File("/etc/bad".into())));
        assert_eq!((source.block_from, source.confidence), (Some(50), 60));
        let source =
            read("name = 'x'\ntaxii = 'https://t.example/api/'\ncollection = 'c1'").unwrap();
        assert_eq!(
            source.from.location(),
            "https://t.example/api/collections/c1/objects/"
        );
        for (text, complaint) in [
            ("list = '/x'", "name"),
            ("name = '../x'\nlist = '/x'", "name"),
            ("name = 'x'", "exactly one"),
            ("name = 'x'\nlist = '/x'\nstix = '/y'", "exactly one"),
            ("name = 'x'\nlist = 'bad.txt'", "path from /"),
            (
                "name = 'x'\nlist = 'https://me:word@x.example/'",
                "secret_file",
            ),
            ("name = 'x'\ntaxii = 'https://x.example/'", "collection"),
            ("name = 'x'\ntaxii = '/x'\ncollection = 'c'", "API root"),
            ("name = 'x'\nlist = '/x'\nconfidence = 101", "0 to 100"),
            (
                "name = 'x'\nlist = '/x'\nevery_minutes = 0",
                "every_minutes",
            ),
            ("name = 'x'\nlist = '/x'\ntechnique = 'C2'", "T1071.001"),
            ("name = 'x'\nlist = '/x'\nusername = 'me'", "secret_file"),
            ("name = 'x'\nlist = '/x'\nkey = '/k'", "certificate"),
            ("name = 'x'\nlists = '/x'", "unknown field"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(complaint), "{text}: {message}");
        }
    }

    #[test]
    fn no_two_lists_have_one_name() {
        let one = Options {
            name: "x".to_owned(),
            list: Some("/x".to_owned()),
            ..Options::default()
        };
        assert!(check(std::slice::from_ref(&one)).is_ok());
        assert!(
            check(&[one.clone(), one])
                .unwrap_err()
                .contains("two lists")
        );
    }
}
