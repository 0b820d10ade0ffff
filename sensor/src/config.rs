//! The configuration: one TOML file, each option of which the command line can override.
//! Unknown keys are refused, with the nearest valid one named.

pub mod prevent;
pub mod respond;
#[cfg(test)]
mod shipped;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use crate::content;
use crate::content::scanner::Settings;
use crate::content::source::Sources;
use crate::decoy;
use crate::export::format::Format;
use crate::export::sink::options;
use crate::export::spool::Settings as SpoolSettings;
use crate::export::writer::Output;
use crate::identity;
use crate::intelligence::source;
use crate::probe::filters::{PathRules, Rules, Watch};
use crate::probe::selection::Selection;
use respond::Respond;

/// Families of events that no program tells of.
const OWN_FAMILIES: [&str; 2] = ["response", "sensor"];
/// Smallest ring, in KiB.
const RING_KIB_MIN: u32 = 64;
/// Largest ring, in KiB.
const RING_KIB_MAX: u32 = 1024 * 1024;

/// Why a configuration is not accepted.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not TOML, or has a key or value that means nothing.
    #[error("{}: {message}{}", path.display(), hint.as_deref().unwrap_or_default())]
    Parse {
        /// The file.
        path: PathBuf,
        /// What the parser says, with line and column.
        message: String,
        /// What may have been meant.
        hint: Option<String>,
    },
    /// Tags or labels in `[identity]` are not accepted.
    #[error("in [identity]: {0}")]
    Identity(#[from] identity::OptionsError),
    /// A path in `[files]` means nothing.
    #[error("in [files]: {0}")]
    Files(String),
    /// A list in `[[intelligence]]` means nothing.
    #[error("in [[intelligence]]: {0}")]
    Intelligence(String),
    /// A value in `[decoys]` means nothing.
    #[error("in [decoys]: {0}")]
    Decoys(String),
    /// The playbooks cannot be in force together.
    #[error("in [[respond.playbook]]: {0}")]
    Playbooks(String),
    /// A protected program means nothing.
    #[error("in respond.protect_processes: {0}")]
    Protect(String),
    /// A rule about programs that are not to start means nothing.
    #[error("in [[respond.prevent]]: {0}")]
    Prevent(String),
    /// A receiver means nothing.
    #[error("in [[sinks]]: {0}")]
    Sinks(String),
    /// A value in `[spool]` means nothing.
    #[error("in [spool]: {0}")]
    Spool(String),
    /// A value is out of its range.
    #[error("{key} = {value} is out of range: {range}")]
    Range {
        /// Dotted key.
        key: &'static str,
        /// What was given.
        value: String,
        /// What is accepted.
        range: String,
    },
}

/// All options.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Form of the output; what suits standard output when absent.
    pub output: Option<Output>,
    /// Format of the output, unless it is pretty.
    pub schema: Format,
    /// Kinds or families of event to deliver; all when empty.
    pub events: Vec<String>,
    /// Whether to patch kernel functions (fentry, fexit) where the kernel allows it, the
    /// cheapest way to see most things.
    pub trampolines: bool,
    /// Whether to look for intruders in what is seen; then everything that takes is observed,
    /// also what is not delivered.
    pub detection: bool,
    /// Directory of the control socket and the lock.
    pub runtime_directory: PathBuf,
    /// Directory of what is remembered across starts: what services usually do.
    pub state_directory: PathBuf,
    /// What the operator says of the host, in every event.
    pub identity: identity::Options,
    /// Which files.
    pub files: Files,
    /// Which Sigma rules.
    pub rules: SigmaRules,
    /// Which files are scanned, with which rules.
    pub content: Content,
    /// Lists of what is hostile.
    pub intelligence: Vec<source::Options>,
    /// What nobody has any business with.
    pub decoys: decoy::Options,
    /// What is done about intruders.
    pub respond: Respond,
    /// Where events are kept until their receivers have them.
    pub spool: options::Spool,
    /// Receivers of events.
    pub sinks: Vec<options::Options>,
    /// Where metrics are served.
    pub metrics: Metrics,
    /// Sizes.
    pub limits: Limits,
}

/// Which Sigma rules are used. A rule in a directory takes the place of a built-in one with the
/// same id; Sigma filters there tune any rule.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SigmaRules {
    /// Directories and files of rules.
    pub directories: Vec<PathBuf>,
    /// Whether the rules that come with the sensor are used.
    pub builtin: bool,
}

impl Default for SigmaRules {
    fn default() -> Self {
        Self {
            directories: Vec::new(),
            builtin: true,
        }
    }
}

/// Metrics for Prometheus, over HTTP without any protection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Address and port, `127.0.0.1:9478` say; nowhere when absent.
    pub listen: Option<SocketAddr>,
}

/// What is looked for in the content of files: scripts in web roots, programs from elsewhere than
/// packages.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Content {
    /// Whether files are scanned at all.
    pub enabled: bool,
    /// Directories and files of YARA rules.
    pub rules: Vec<PathBuf>,
    /// Whether the rules that come with the sensor are used.
    pub builtin: bool,
    /// Bytes of each file that are looked at, from its beginning.
    pub max_size: u64,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            enabled: true,
            rules: Vec::new(),
            builtin: true,
            max_size: content::SIZE_DEFAULT,
        }
    }
}

impl Content {
    /// In the form the scanner takes; reads the rules.
    #[must_use]
    pub fn settings(&self) -> Settings {
        Settings {
            sources: Sources::read(&self.rules, self.builtin),
            size_max: self.max_size,
        }
    }
}

/// Which files are reported. A path is `/etc/passwd` for that file, `/var/www/` for all in a
/// directory, `/tmp/sess*` for all that begin so, `*.php` for all that end so. The longest
/// beginning decides; of a beginning and an ending that disagree, the one that reports.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Files {
    /// Paths always reported, in the kernel's own file systems as well.
    pub report: Vec<String>,
    /// Paths not reported.
    pub drop: Vec<String>,
    /// Files of which reads are reported: `/etc/shadow`, `/root/.ssh/` for those in a
    /// directory, `/home/*/.ssh/` for those in several.
    pub watch: Vec<String>,
    /// Processes whose doings are not reported, by their name in the kernel (15 bytes).
    pub drop_processes: Vec<String>,
    /// Users whose doings are not reported, by number.
    pub drop_users: Vec<u32>,
    /// Control groups whose doings are not reported, by path, and all in them.
    pub drop_control_groups: Vec<String>,
    /// Report all changes in the kernel's own file systems (proc, sysfs, cgroup, …).
    pub kernel_file_systems: bool,
}

/// Where writing to the kernel's own file systems changes what the system does: how it runs
/// programs, whom it lets do what, what it lets be seen.
const REPORT: &[&str] = &[
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/usermodehelper/",
    "/proc/sys/kernel/randomize_va_space",
    "/proc/sys/kernel/yama/",
    "/proc/sys/kernel/kptr_restrict",
    "/proc/sys/kernel/dmesg_restrict",
    "/proc/sys/kernel/unprivileged_bpf_disabled",
    "/proc/sys/kernel/ftrace_enabled",
    "/proc/sys/kernel/modules_disabled",
    "/proc/sys/fs/protected_*",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/vm/mmap_min_addr",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/sysrq-trigger",
    "/sys/kernel/uevent_helper",
    "/sys/kernel/security/",
    "/sys/fs/selinux/enforce",
    "/sys/fs/bpf/",
    "/proc/sys/fs/binfmt_misc/",
    "*/mem",
    "*/uid_map",
    "*/release_agent",
    "*/kprobe_events",
    "*/uprobe_events",
];

/// What holds credentials, and is read by few.
const WATCH: &[&str] = &[
    "/etc/shadow",
    "/etc/gshadow",
    "/etc/shadow-",
    "/etc/sudoers",
    "/root/.ssh/",
    "/home/*/.ssh/",
    "/root/.aws/",
    "/home/*/.aws/",
    "/root/.kube/",
    "/home/*/.kube/",
    "/root/.docker/",
    "/home/*/.docker/",
    "/root/.gnupg/",
    "/home/*/.gnupg/",
    "/etc/gshadow-",
    "/etc/security/opasswd",
    "/etc/krb5.keytab",
    "/etc/mysql/debian.cnf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/pki/",
    "/root/.azure/",
    "/home/*/.azure/",
    "/root/.config/gcloud/",
    "/home/*/.config/gcloud/",
    "/root/.config/gh/",
    "/home/*/.config/gh/",
    "/root/.netrc",
    "/home/*/.netrc",
    "/root/.git-credentials",
    "/home/*/.git-credentials",
    "/root/.pgpass",
    "/home/*/.pgpass",
    "/root/.my.cnf",
    "/home/*/.my.cnf",
    "/root/.vault-token",
    "/home/*/.vault-token",
    "/root/.bash_history",
    "/home/*/.bash_history",
    "/root/.zsh_history",
    "/home/*/.zsh_history",
    "/root/.mysql_history",
    "/home/*/.mysql_history",
];

impl Default for Files {
    fn default() -> Self {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        Self {
            report: owned(REPORT),
            drop: Vec::new(),
            watch: owned(WATCH),
            drop_processes: Vec::new(),
            drop_users: Vec::new(),
            drop_control_groups: Vec::new(),
            kernel_file_systems: false,
        }
    }
}

impl Files {
    /// In the form the probe takes.
    ///
    /// # Errors
    /// The first path that means nothing.
    pub fn rules(&self) -> Result<Rules, ConfigError> {
        let mut paths = PathRules::new(
            self.report.iter().map(String::as_str),
            self.drop.iter().map(String::as_str),
        )
        .map_err(|error| ConfigError::Files(error.to_string()))?;
        paths.kernel_file_systems = self.kernel_file_systems;
        let watches = self
            .watch
            .iter()
            .map(|text| Watch::parse(text))
            .collect::<Result<_, _>>();
        Ok(Rules {
            paths,
            processes: self.drop_processes.clone(),
            users: self.drop_users.clone(),
            cgroups: self.drop_control_groups.clone(),
            watches: watches.map_err(|error| ConfigError::Files(error.to_string()))?,
        })
    }
}

/// Bounds that can be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Size of the process and network ring, in KiB, a power of two.
    pub process_ring_kib: u32,
    /// Size of the file ring, in KiB, a power of two.
    pub file_ring_kib: u32,
    /// Processes remembered, live and ended together.
    pub processes: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            output: None,
            schema: Format::default(),
            events: Vec::new(),
            trampolines: true,
            detection: true,
            runtime_directory: PathBuf::from("/run/sensor"),
            state_directory: PathBuf::from("/var/lib/sensor"),
            identity: identity::Options::default(),
            files: Files::default(),
            rules: SigmaRules::default(),
            content: Content::default(),
            intelligence: Vec::new(),
            decoys: decoy::Options::default(),
            respond: Respond::default(),
            spool: options::Spool::default(),
            sinks: Vec::new(),
            metrics: Metrics::default(),
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            process_ring_kib: 8 * 1024,
            file_ring_kib: 4 * 1024,
            processes: 32_768,
        }
    }
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read or means nothing.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a text; `path` is for messages.
    ///
    /// # Errors
    /// When it means nothing.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| ConfigError::Parse {
            path: path.to_owned(),
            hint: hint(error.message()),
            message: error.to_string().trim_end().to_owned(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// Which files are reported, in the form the probe takes: with detection, decoys are watched
    /// as well.
    ///
    /// # Errors
    /// The first path that means nothing.
    pub fn file_rules(&self) -> Result<Rules, ConfigError> {
        let mut rules = self.files.rules()?;
        if self.detection {
            for path in self.decoys()?.files {
                let watch = Watch::parse(&path);
                let watch = watch.map_err(|error| ConfigError::Decoys(error.to_string()))?;
                rules.watches.push(watch);
            }
        }
        Ok(rules)
    }

    /// The lists, checked.
    ///
    /// # Errors
    /// What is wrong with the first that is not accepted.
    pub fn sources(&self) -> Result<Vec<source::Source>, ConfigError> {
        source::check(&self.intelligence).map_err(ConfigError::Intelligence)
    }

    /// The decoys, checked.
    ///
    /// # Errors
    /// The first value that means nothing.
    pub fn decoys(&self) -> Result<decoy::Decoys, ConfigError> {
        self.decoys.check().map_err(ConfigError::Decoys)
    }

    /// The receivers, checked.
    ///
    /// # Errors
    /// What is wrong with the first that is not accepted.
    pub fn sinks(&self) -> Result<Vec<options::Sink>, ConfigError> {
        options::all(&self.sinks, is_kind).map_err(ConfigError::Sinks)
    }

    /// The spool, checked.
    ///
    /// # Errors
    /// The first value that means nothing.
    pub fn spool(&self) -> Result<SpoolSettings, ConfigError> {
        let settings = self.spool.settings(&self.state_directory);
        settings.map_err(ConfigError::Spool)
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// The first value out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, value) in [
            ("limits.process_ring_kib", self.limits.process_ring_kib),
            ("limits.file_ring_kib", self.limits.file_ring_kib),
        ] {
            if !value.is_power_of_two() || !(RING_KIB_MIN..=RING_KIB_MAX).contains(&value) {
                let range = format!("a power of two from {RING_KIB_MIN} to {RING_KIB_MAX}");
                return Err(ConfigError::Range {
                    key,
                    value: value.to_string(),
                    range,
                });
            }
        }
        self.identity.check()?;
        self.file_rules()?;
        self.decoys()?;
        self.sources()?;
        self.sinks()?;
        self.spool()?;
        self.respond.check()?;
        if !(1..=content::SIZE_MAX).contains(&self.content.max_size) {
            return Err(ConfigError::Range {
                key: "content.max_size",
                value: self.content.max_size.to_string(),
                range: format!("1 to {} bytes", content::SIZE_MAX),
            });
        }
        if !(256..=4_194_304).contains(&self.limits.processes) {
            return Err(ConfigError::Range {
                key: "limits.processes",
                value: self.limits.processes.to_string(),
                range: "256 to 4194304".to_owned(),
            });
        }
        Ok(())
    }
}

/// Whether events have this name or are of this family, whether observed or the sensor's own.
fn is_kind(name: &str) -> bool {
    Selection::parse([name]).is_ok() || OWN_FAMILIES.contains(&name)
}

/// Names the nearest of the keys that serde's message lists:
/// "unknown field `x`, expected one of `a`, `b`".
fn hint(message: &str) -> Option<String> {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let wrong = quoted.next().filter(|_| message.starts_with("unknown"))?;
    let nearest = quoted.min_by_key(|candidate| distance(wrong, candidate))?;
    (distance(wrong, nearest) <= wrong.len().max(3) / 2 + 1)
        .then(|| format!("\ndid you mean `{nearest}`?"))
}

/// Levenshtein distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (above, to) in row.iter().skip(1).zip(&b) {
            let cost = (diagonal + usize::from(from != *to))
                .min(above + 1)
                .min(left + 1);
            diagonal = *above;
            left = cost;
            next.push(cost);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, Path::new("sensor.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_is_the_default() {
        assert_eq!(parse("").unwrap(), Config::default());
    }

    #[test]
    fn an_unknown_key_names_the_nearest_and_the_line() {
        let message = parse("[limits]\nproces_ring_kib = 64\n").unwrap_err();
        assert!(
            message.contains("did you mean `process_ring_kib`?"),
            "{message}"
        );
        assert!(message.contains("line 2"), "{message}");
    }

    #[test]
    fn a_ring_must_be_a_power_of_two_in_range() {
        assert!(
            parse("limits.file_ring_kib = 100")
                .unwrap_err()
                .contains("power of two")
        );
        assert!(parse("limits.file_ring_kib = 128").is_ok());
    }

    #[test]
    fn a_path_that_means_nothing_is_refused() {
        assert!(
            parse("files.drop = ['var/log']")
                .unwrap_err()
                .contains("var/log")
        );
        assert!(
            parse("files.watch = ['shadow']")
                .unwrap_err()
                .contains("must begin with /")
        );
        assert!(parse("files.drop = ['/var/log/', '*.swp']").is_ok());
    }

    #[test]
    fn a_label_has_a_name_that_can_be_indexed() {
        assert!(parse("[identity]\ntags = ['web']\nlabels = { site = 'fra' }\n").is_ok());
        let message = parse("identity.labels = { 'a.b' = 'x' }").unwrap_err();
        assert!(message.contains("in [identity]: \"a.b\""), "{message}");
    }

    #[test]
    fn built_in_rules_are_used_unless_told_otherwise() {
        assert!(parse("").unwrap().rules.builtin);
        let rules = parse("[rules]\ndirectories = ['/etc/sensor/rules']\nbuiltin = false\n")
            .unwrap()
            .rules;
        assert_eq!(rules.directories, [PathBuf::from("/etc/sensor/rules")]);
        assert!(!rules.builtin);
        let message = parse("[rules]\ndirectory = '/x'\n").unwrap_err();
        assert!(message.contains("`directories`"), "{message}");
    }

    #[test]
    fn lists_and_decoys_are_checked_when_they_are_read() {
        let config = parse(
            "[[intelligence]]\nname = 'x'\nlist = '/x'\n[[intelligence]]\nname = 'y'\nstix = '/y'\n\
             [decoys]\nfiles = ['/srv/x']\n",
        )
        .unwrap();
        assert_eq!(config.sources().unwrap().len(), 2);
        let watched = config.file_rules().unwrap().watches;
        assert_eq!(watched.len(), WATCH.len() + 1);
        for (text, complaint) in [
            ("[[intelligence]]\nname = 'x'\n", "in [[intelligence]]"),
            ("[[intelligence]]\nnames = 'x'\n", "did you mean `name`?"),
            ("decoys.files = ['x']", "in [decoys]"),
            ("decoys.file = []", "did you mean `files`?"),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.contains(complaint), "{text}: {message}");
        }
    }

    #[test]
    fn how_much_of_a_file_is_scanned_is_bounded() {
        assert!(parse("content.max_size = 1048576").is_ok());
        let message = parse("content.max_size = 0").unwrap_err();
        assert!(message.contains("content.max_size"), "{message}");
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
