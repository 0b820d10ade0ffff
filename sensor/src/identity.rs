//! Which host and which sensor events are from: found out once, at the start. What is written of
//! it, and where, is `event/origin.rs`; nothing here knows of events.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde::Deserialize;
use thiserror::Error;

use crate::random;
use crate::state;

/// Longest text, in bytes; what is longer is cut.
const TEXT_MAX: usize = 256;
/// Most tags.
const TAGS_MAX: usize = 16;
/// Most labels.
const LABELS_MAX: usize = 16;
/// Longest name of a label, in bytes.
const LABEL_NAME_MAX: usize = 64;
/// Longest file that is read to its end, in bytes.
const FILE_MAX: u64 = 16 * 1024;
/// Where the host's own files are: in a container that shares the host's processes, with the
/// first of them; and here.
const ROOTS: [&str; 2] = ["/proc/1/root", ""];
/// File of the state directory with the sensor's id.
const AGENT_ID: &str = "agent-id";

/// What the operator says of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Words, at most 16 of 256 bytes.
    pub tags: Vec<String>,
    /// Texts by name, at most 16 of 256 bytes; names of small letters, digits, `_` and `-`.
    pub labels: BTreeMap<String, String>,
}

/// Why tags or labels are not accepted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// There are too many of them.
    #[error("there are {count} {what}; {max} are the most")]
    Many {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A text is empty or too long.
    #[error("{0:?} is empty or longer than {TEXT_MAX} bytes")]
    Text(String),
    /// A label has a name that it cannot have.
    #[error(
        "{0:?} cannot name a label: 1 to {LABEL_NAME_MAX} small letters, digits, `_` and `-` can, a letter first"
    )]
    Name(String),
}

impl Options {
    /// Checks numbers, lengths and names.
    ///
    /// # Errors
    /// The first of them that is not accepted.
    pub fn check(&self) -> Result<(), OptionsError> {
        for (what, count, max) in [
            ("tags", self.tags.len(), TAGS_MAX),
            ("labels", self.labels.len(), LABELS_MAX),
        ] {
            if count > max {
                return Err(OptionsError::Many { what, count, max });
            }
        }
        let mut texts = self.tags.iter().chain(self.labels.values());
        if let Some(text) = texts.find(|text| text.is_empty() || text.len() > TEXT_MAX) {
            return Err(OptionsError::Text(text.clone()));
        }
        match self.labels.keys().find(|name| !is_label_name(name)) {
            Some(name) => Err(OptionsError::Name(name.clone())),
            None => Ok(()),
        }
    }
}

/// No dots: a dot would make an object of it where events are indexed.
fn is_label_name(name: &str) -> bool {
    name.len() <= LABEL_NAME_MAX
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Text that may not be known.
pub type Known = Option<Box<str>>;

/// Which host and which sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The sensor.
    pub agent: Agent,
    /// The host.
    pub host: Host,
    /// Words of the operator's.
    pub tags: Box<[Box<str>]>,
    /// Texts of the operator's, ordered by their names.
    pub labels: Box<[(Box<str>, Box<str>)]>,
}

/// A sensor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Agent {
    /// A random UUID that is kept in the state directory.
    pub id: Known,
    /// A random UUID of this run.
    pub ephemeral_id: Known,
    /// What it is.
    pub kind: Known,
    /// Version of the program.
    pub version: Known,
}

/// A host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// As it calls itself (`uname -n`).
    pub name: Known,
    /// Its `/etc/machine-id`.
    pub id: Known,
    /// The kernel's `boot_id`.
    pub boot_id: Known,
    /// As `uname -m`.
    pub architecture: Known,
    /// What runs on it.
    pub os: Os,
}

/// An operating system; from os-release(5), where not said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Os {
    /// `linux`.
    pub kind: Known,
    /// What it is made from: the first word of `ID_LIKE`, or `ID`.
    pub family: Known,
    /// `PRETTY_NAME`.
    pub full: Known,
    /// Release of the kernel (`uname -r`).
    pub kernel: Known,
    /// `NAME`.
    pub name: Known,
    /// `ID`.
    pub platform: Known,
    /// `VERSION_ID`.
    pub version: Known,
}

impl Identity {
    /// Of this host, and of this run of the sensor; what cannot be found out stays open, and is
    /// said in the log.
    #[must_use]
    pub fn here(state_directory: &Path, options: &Options) -> Self {
        let kept = state::once(state_directory, AGENT_ID, uuid);
        let id = kept.map_err(|error| {
            tracing::warn!(
                directory = %state_directory.display(), %error,
                "the sensor's id cannot be kept; its events go without agent.id"
            );
        });
        let labels = options.labels.iter();
        Self {
            agent: Agent {
                id: id.ok().and_then(|text| known(text.trim())),
                ephemeral_id: known(&uuid()),
                kind: known("sensor"),
                version: known(env!("CARGO_PKG_VERSION")),
            },
            host: Host::here(),
            tags: options.tags.iter().map(|tag| tag.as_str().into()).collect(),
            labels: labels
                .map(|(name, text)| (name.as_str().into(), text.as_str().into()))
                .collect(),
        }
    }
}

impl Host {
    fn here() -> Self {
        let [name, kernel, architecture] = uname().map(|text| known(&text));
        let read = |path| {
            ROOTS
                .iter()
                .find_map(|root| text_of(&format!("{root}{path}")))
        };
        let release = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        Self {
            name,
            id: read("/etc/machine-id").and_then(|id| known(&id)),
            boot_id: text_of("/proc/sys/kernel/random/boot_id").and_then(|id| known(&id)),
            architecture,
            os: Os {
                kind: known("linux"),
                kernel,
                ..Os::released(&release.unwrap_or_default())
            },
        }
    }
}

impl Os {
    /// From the text of an os-release(5).
    fn released(text: &str) -> Self {
        let of = |name: &str| {
            let value =
                |line: &str| Some(unquoted(line.trim().strip_prefix(name)?.strip_prefix('=')?));
            text.lines().filter_map(value).next_back()
        };
        let platform = of("ID");
        let like = of("ID_LIKE");
        let family = like.as_deref().and_then(|like| like.split(' ').next());
        Self {
            family: family.or(platform.as_deref()).and_then(known),
            full: of("PRETTY_NAME").as_deref().and_then(known),
            name: of("NAME").as_deref().and_then(known),
            version: of("VERSION_ID").as_deref().and_then(known),
            platform: platform.as_deref().and_then(known),
            ..Self::default()
        }
    }
}

/// A value as a shell would assign it, as far as os-release(5) allows.
fn unquoted(value: &str) -> String {
    let quoted = |quote| value.strip_prefix(quote)?.strip_suffix(quote);
    match quoted('"') {
        Some(text) => {
            let mut escaped = false;
            let mut keep = |c: &char| {
                escaped = *c == '\\' && !escaped;
                !escaped
            };
            text.chars().filter(|c| keep(c)).collect()
        }
        None => quoted('\'').unwrap_or(value).to_owned(),
    }
}

/// A text, unless it is empty; not longer than it may be.
fn known(text: &str) -> Known {
    let end = text.floor_char_boundary(TEXT_MAX);
    text.get(..end)
        .map(str::trim)
        .filter(|text| !text.is_empty())
        .map(Into::into)
}

fn text_of(path: &str) -> Option<String> {
    let mut text = String::new();
    let file = File::open(path).ok()?;
    file.take(FILE_MAX).read_to_string(&mut text).ok()?;
    Some(text)
}

/// Name of the host, release of the kernel, architecture.
fn uname() -> [String; 3] {
    // SAFETY: all bytes zero is a value of it: arrays of characters.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: it is ours, and of the type that the call fills. If it fails, all texts are empty.
    unsafe { libc::uname(&raw mut names) };
    [&names.nodename, &names.release, &names.machine].map(|text| {
        let bytes = text.iter().map(|byte| byte.cast_unsigned());
        let bytes: Vec<u8> = bytes.take_while(|byte| *byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A random one (version 4, RFC 9562, 5.4).
fn uuid() -> String {
    let random = (0..4).fold(0, |bits, _| bits << 32 | u128::from(random::number()));
    let (version, variant): (u128, u128) = (4 << 76, 2 << 62);
    let bits = random & !(0xf << 76) & !(3 << 62) | version | variant;
    let (low, middle) = (bits & 0xffff_ffff_ffff, bits >> 48 & 0xffff);
    let (high, more, most) = (bits >> 64 & 0xffff, bits >> 80 & 0xffff, bits >> 96);
    format!("{most:08x}-{more:04x}-{high:04x}-{middle:04x}-{low:012x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_is_known_by_its_release_file() {
        let text = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
        let os = Os::released(text);
        assert_eq!(os.full.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
        assert_eq!(os.name.as_deref(), Some("Debian GNU/Linux"));
        assert_eq!(os.version.as_deref(), Some("12"));
        assert_eq!(
            (os.family.as_deref(), os.platform.as_deref()),
            (Some("debian"), Some("debian"))
        );
        let os = Os::released("ID=ubuntu\nID_LIKE='debian'\n# NAME=no\nNAME=\"a \\\"b\\\\\\$\"\n");
        assert_eq!(os.family.as_deref(), Some("debian"));
        assert_eq!(os.name.as_deref(), Some("a \"b\\$"));
        assert_eq!(Os::released("ID=\nNAME=\"\"\nnothing"), Os::default());
    }

    #[test]
    fn the_id_of_a_sensor_outlives_its_run_and_that_of_a_run_does_not() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let [one, two] = [(); 2].map(|()| Identity::here(&state, &Options::default()));
        assert!(one.agent.id.is_some());
        assert_eq!(one.agent.id, two.agent.id);
        assert_ne!(one.agent.ephemeral_id, two.agent.ephemeral_id);
        assert_eq!(one.host, two.host);
        assert!(one.host.name.is_some() && one.host.boot_id.is_some());
    }

    #[test]
    fn without_a_place_for_its_id_a_sensor_has_none() {
        let identity = Identity::here(Path::new("/proc/nowhere"), &Options::default());
        assert_eq!(identity.agent.id, None);
    }

    #[test]
    fn random_ids_look_like_what_they_are() {
        let id = uuid();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(id.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&id.as_bytes()[19]));
        assert_ne!(id, uuid());
    }

    #[test]
    fn tags_and_labels_have_bounds() {
        let check = |tags: &[&str], labels: &[(&str, &str)]| {
            Options {
                tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
                labels: labels
                    .iter()
                    .map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))
                    .collect(),
            }
            .check()
            .map_err(|error| error.to_string())
        };
        assert_eq!(check(&["web"], &[("site-2", "fra")]), Ok(()));
        assert!(check(&["x"; 17], &[]).unwrap_err().contains("17 tags"));
        assert!(check(&[""], &[]).unwrap_err().contains("empty"));
        let long = "x".repeat(257);
        assert!(
            check(&[], &[("site", &long)])
                .unwrap_err()
                .contains("256 bytes")
        );
        for name in ["", "a.b", "Site", "1", &long] {
            assert!(
                check(&[], &[(name, "x")])
                    .unwrap_err()
                    .contains("cannot name"),
                "{name}"
            );
        }
    }
}
