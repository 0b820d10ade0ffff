//! Sinks and the spool before them, as the configuration says it (`[[sinks]]`, `[spool]`), checked.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use super::Transport;
use super::datagram::{Datagrams, To};
use super::elasticsearch::Bulk;
use super::file::Log;
use super::filter::Filter;
use super::lines::{Framing, Lines};
use super::loki::Push;
use super::splunk::{Collector, Place};
use super::syslog::{self, Header};
use super::web::{Server, Webhook};
use crate::event::alert::Severity;
use crate::export::format::Format;
use crate::export::spool::{PerLane, Settings, WhenFull};
use crate::net::access::Access;
use crate::net::secret::Secret;
use crate::net::stream::Target;
use crate::net::tls;

/// Sinks of one configuration.
pub const SINKS_MAX: usize = 16;
/// Longest name of one, in bytes.
const NAME_MAX: usize = 64;
/// Most events and most bytes of a batch.
const BATCH_EVENTS_MAX: usize = 20_000;
const BATCH_KIB_MAX: usize = 16 * 1024;
/// Smallest spool and segment, in MiB.
const SPOOL_MIB_MIN: u64 = 16;
/// One of so many parts of a lane is let go at a time.
const SEGMENTS: u64 = 32;
/// Bytes of a segment, at least and at most.
const SEGMENT_BYTES: (u64, u64) = (1024 * 1024, 64 * 1024 * 1024);
const MIB: u64 = 1024 * 1024;

/// The spool, as written.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spool {
    /// Where; `spool` in the state directory when absent.
    pub directory: Option<PathBuf>,
    /// MiB on disk for events other than alerts.
    pub max_mib: u64,
    /// MiB on disk for alerts, what was done about them, and the sensor's own events.
    pub alerts_mib: u64,
    /// Hours after which events are dropped, delivered or not.
    pub max_age_hours: u64,
    /// What gives way when there is no room: `drop-oldest` or `drop-newest`.
    pub when_full: WhenFull,
    /// Milliseconds that events other than alerts may be in memory only.
    pub sync_ms: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            directory: None,
            max_mib: 1024,
            alerts_mib: 256,
            max_age_hours: 7 * 24,
            when_full: WhenFull::DropOldest,
            sync_ms: 1000,
        }
    }
}

impl Spool {
    /// Checked, for a state directory.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn settings(&self, state: &Path) -> Result<Settings, String> {
        for (key, mib) in [("max_mib", self.max_mib), ("alerts_mib", self.alerts_mib)] {
            if mib < SPOOL_MIB_MIN {
                return Err(format!("{key} = {mib}: at least {SPOOL_MIB_MIN} is wanted"));
            }
        }
        if self.max_age_hours == 0 || self.sync_ms == 0 {
            return Err("max_age_hours and sync_ms have to be more than 0".to_owned());
        }
        let smaller = self.max_mib.min(self.alerts_mib).saturating_mul(MIB);
        Ok(Settings {
            directory: self
                .directory
                .clone()
                .unwrap_or_else(|| state.join("spool")),
            bytes_max: PerLane {
                alerts: self.alerts_mib.saturating_mul(MIB),
                telemetry: self.max_mib.saturating_mul(MIB),
            },
            segment_bytes: (smaller / SEGMENTS).clamp(SEGMENT_BYTES.0, SEGMENT_BYTES.1),
            age_max: Duration::from_secs(self.max_age_hours.saturating_mul(3_600)),
            when_full: self.when_full,
            sync_every: Duration::from_millis(self.sync_ms),
        })
    }
}

/// One sink, as written. Exactly one of the keys that say where to is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// What it is called in status, metrics and on disk: letters, digits, `-`, `_` and `.`. With
    /// another name it begins with the oldest event in the spool.
    pub name: String,
    /// Form of the events.
    pub format: Format,
    /// Kinds and families of event that are sent; all when empty.
    pub events: Vec<String>,
    /// Least severity of alerts that are sent.
    pub severity: Option<String>,

    /// To a file, one event on a line.
    pub file: Option<PathBuf>,
    /// To a unix socket or server, one event on a line: `unix:///run/x.sock`, `tcp://host:port`,
    /// `tls://host:port`.
    pub lines: Option<String>,
    /// As syslog (RFC 5424): `udp://host:port`, `tcp://`, `tls://`, `unix:///dev/log`.
    pub syslog: Option<String>,
    /// By POST, one event on a line.
    pub webhook: Option<String>,
    /// To Elasticsearch or OpenSearch.
    pub elasticsearch: Option<String>,
    /// To Splunk's HTTP Event Collector.
    pub splunk: Option<String>,
    /// To Grafana Loki.
    pub loki: Option<String>,

    /// MiB after which a file is begun anew.
    pub rotate_mib: u64,
    /// How many old files are kept.
    pub keep: u32,
    /// Syslog's facility.
    pub facility: String,
    /// Index or data stream (Elasticsearch), index (Splunk).
    pub index: Option<String>,
    /// Splunk's source type.
    pub source_type: Option<String>,
    /// Whether Splunk's indexers have to acknowledge.
    pub acknowledge: bool,
    /// Labels of streams (Loki).
    pub labels: BTreeMap<String, String>,
    /// Whether bodies sent over HTTP are packed.
    pub gzip: bool,

    /// Name for basic authentication; without one, the secret is a token.
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
    /// Proxy for HTTP, such as `http://proxy.example:3128`.
    pub proxy: Option<String>,

    /// Most events sent at once.
    pub batch_events: usize,
    /// Most KiB sent at once.
    pub batch_kib: usize,
    /// Milliseconds that events wait for others; alerts do not.
    pub linger_ms: u64,
    /// Most events in a second; 0 for as many as there are.
    pub rate: u32,
    /// Longest wait between attempts, in seconds.
    pub retry_max_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: String::new(),
            format: Format::Ecs,
            events: Vec::new(),
            severity: None,
            file: None,
            lines: None,
            syslog: None,
            webhook: None,
            elasticsearch: None,
            splunk: None,
            loki: None,
            rotate_mib: 100,
            keep: 5,
            facility: "authpriv".to_owned(),
            index: None,
            source_type: None,
            acknowledge: true,
            labels: BTreeMap::new(),
            gzip: true,
            username: None,
            secret_file: None,
            secret_env: None,
            ca: None,
            certificate: None,
            key: None,
            proxy: None,
            batch_events: 1_000,
            batch_kib: 1_024,
            linger_ms: 200,
            rate: 0,
            retry_max_seconds: 30,
        }
    }
}

/// How much at once, how fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) events: usize,
    pub(super) bytes: usize,
    pub(super) linger: Duration,
    pub(super) rate: Option<NonZeroU32>,
    pub(super) wait_max: Duration,
}

/// One sink.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    /// What it is called.
    pub name: String,
    pub(super) format: Format,
    pub(super) filter: Filter,
    pub(super) to: Destination,
    pub(super) bounds: Bounds,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    File {
        path: PathBuf,
        bytes_max: u64,
        keep: u32,
    },
    Lines {
        place: Endpoint,
        /// As syslog, with this facility.
        facility: Option<u8>,
        access: Access,
    },
    Datagrams {
        place: Endpoint,
        facility: u8,
    },
    Webhook(Web),
    Elasticsearch {
        web: Web,
        index: String,
    },
    Splunk {
        web: Web,
        index: Option<String>,
        source_type: String,
        acknowledge: bool,
    },
    Loki {
        web: Web,
        labels: BTreeMap<String, String>,
    },
}

/// Over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Web {
    url: String,
    access: Access,
    gzip: bool,
}

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    Unix(PathBuf),
    Tcp { host: String, port: u16, tls: bool },
    Udp { host: String, port: u16 },
}

/// All sinks of a configuration, checked.
///
/// # Errors
/// What is wrong with which.
pub fn all(options: &[Options], is_kind: impl Fn(&str) -> bool) -> Result<Vec<Sink>, String> {
    if options.len() > SINKS_MAX {
        return Err(format!("there are more than {SINKS_MAX}"));
    }
    let mut names = HashSet::new();
    let mut sinks = Vec::new();
    for option in options {
        let sink = option
            .check(&is_kind)
            .map_err(|why| format!("{}: {why}", option.name))?;
        if !names.insert(sink.name.clone()) {
            return Err(format!("{}: there are two of this name", sink.name));
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

impl Options {
    fn check(&self, is_kind: &impl Fn(&str) -> bool) -> Result<Sink, String> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if self.name.is_empty()
            || self.name.len() > NAME_MAX
            || self.name.starts_with('.')
            || !self.name.chars().all(is_word)
        {
            return Err(format!(
                "a sink needs a name of 1 to {NAME_MAX} letters, digits, -, _ and ."
            ));
        }
        if let Some(unknown) = self.events.iter().find(|event| !is_kind(event)) {
            return Err(format!(
                "events: {unknown} is no kind of event; `sensor doctor` lists them"
            ));
        }
        let severity = self.severity.as_deref().map(|name| {
            Severity::from_name(name).ok_or_else(|| {
                format!(
                    "severity = {name:?}: informational, low, medium, high or critical is wanted"
                )
            })
        });
        let within = |key: &str, value: usize, most: usize| {
            if (1..=most).contains(&value) {
                Ok(value)
            } else {
                Err(format!("{key} = {value}: 1 to {most} is wanted"))
            }
        };
        Ok(Sink {
            name: self.name.clone(),
            format: self.format,
            filter: Filter {
                events: self.events.clone(),
                severity: severity.transpose()?,
            },
            to: self.destination()?,
            bounds: Bounds {
                events: within("batch_events", self.batch_events, BATCH_EVENTS_MAX)?,
                bytes: within("batch_kib", self.batch_kib, BATCH_KIB_MAX)? * 1024,
                linger: Duration::from_millis(self.linger_ms),
                rate: NonZeroU32::new(self.rate),
                wait_max: Duration::from_secs(self.retry_max_seconds.max(1)),
            },
        })
    }

    fn destination(&self) -> Result<Destination, String> {
        let mut found = Vec::new();
        if let Some(path) = &self.file {
            found.push(Destination::File {
                path: path.clone(),
                bytes_max: self.rotate_mib.max(1).saturating_mul(MIB),
                keep: self.keep,
            });
        }
        if let Some(text) = &self.lines {
            found.push(match endpoint("lines", text)? {
                Endpoint::Udp { .. } => {
                    return Err("lines: unix://, tcp:// or tls:// is wanted".to_owned());
                }
                place => Destination::Lines {
                    place,
                    facility: None,
                    access: self.access()?,
                },
            });
        }
        if let Some(text) = &self.syslog {
            let facility = syslog::facility(&self.facility)
                .ok_or_else(|| format!("{:?} is no facility of syslog", self.facility))?;
            found.push(match endpoint("syslog", text)? {
                place @ Endpoint::Tcp { .. } => Destination::Lines {
                    place,
                    facility: Some(facility),
                    access: self.access()?,
                },
                place => Destination::Datagrams { place, facility },
            });
        }
        for (key, url) in [
            ("webhook", &self.webhook),
            ("elasticsearch", &self.elasticsearch),
            ("splunk", &self.splunk),
            ("loki", &self.loki),
        ] {
            if let Some(url) = url {
                found.push(self.web(key, url)?);
            }
        }
        match (found.pop(), found.pop()) {
            (Some(one), None) => Ok(one),
            _ => Err(
                "exactly one of file, lines, syslog, webhook, elasticsearch, splunk and loki is wanted"
                    .to_owned(),
            ),
        }
    }

    fn web(&self, key: &str, url: &str) -> Result<Destination, String> {
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            return Err(format!("{key} = {url:?}: https:// or http:// is wanted"));
        }
        let is_json = self.format.is_json();
        let mut web = Web {
            url: url.trim_end_matches('/').to_owned(),
            access: self.access()?,
            gzip: self.gzip,
        };
        Ok(match key {
            "elasticsearch" if !is_json => {
                return Err("Elasticsearch takes JSON only; choose another format".to_owned());
            }
            "elasticsearch" => {
                if self.username.is_none() {
                    web.access.scheme = Some("ApiKey");
                }
                Destination::Elasticsearch {
                    web,
                    index: self
                        .index
                        .clone()
                        .unwrap_or_else(|| "logs-sensor-default".to_owned()),
                }
            }
            "splunk" => {
                web.access.scheme = Some("Splunk");
                if web.access.secret.is_none() {
                    return Err(
                        "splunk needs the collector's token: secret_file or secret_env".to_owned(),
                    );
                }
                Destination::Splunk {
                    web,
                    index: self.index.clone(),
                    source_type: self
                        .source_type
                        .clone()
                        .unwrap_or_else(|| format!("sensor:{}", self.format_name())),
                    acknowledge: self.acknowledge,
                }
            }
            "loki" => Destination::Loki {
                web,
                labels: self.labels.clone(),
            },
            _ => Destination::Webhook(web),
        })
    }

    fn format_name(&self) -> String {
        format!("{:?}", self.format).to_lowercase()
    }

    fn access(&self) -> Result<Access, String> {
        let secret = match (&self.secret_file, &self.secret_env) {
            (Some(_), Some(_)) => return Err("either secret_file or secret_env".to_owned()),
            (Some(path), None) => Some(Secret::File(path.clone())),
            (None, Some(name)) => Some(Secret::Variable(name.clone())),
            (None, None) => None,
        };
        if self.username.is_some() && secret.is_none() {
            return Err("a username needs secret_file or secret_env".to_owned());
        }
        let certificate = match (&self.certificate, &self.key) {
            (Some(certificate), key) => Some((
                certificate.clone(),
                key.clone().unwrap_or_else(|| certificate.clone()),
            )),
            (None, Some(_)) => return Err("a key needs a certificate".to_owned()),
            (None, None) => None,
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

fn endpoint(key: &str, text: &str) -> Result<Endpoint, String> {
    let wrong = || {
        format!(
            "{key} = {text:?}: unix:///path, tcp://host:port, tls://host:port or udp://host:port is wanted"
        )
    };
    let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
    if scheme == "unix" {
        let path = PathBuf::from(rest);
        return if path.is_absolute() {
            Ok(Endpoint::Unix(path))
        } else {
            Err(wrong())
        };
    }
    let (host, port) = rest.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let host = host.to_owned();
    match scheme {
        _ if host.is_empty() => Err(wrong()),
        "tcp" => Ok(Endpoint::Tcp {
            host,
            port,
            tls: false,
        }),
        "tls" => Ok(Endpoint::Tcp {
            host,
            port,
            tls: true,
        }),
        "udp" => Ok(Endpoint::Udp { host, port }),
        _ => Err(wrong()),
    }
}

impl Destination {
    /// What kind of receiver it is.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::File { .. } => "file",
            Self::Lines { facility: None, .. } => "lines",
            Self::Lines { .. } | Self::Datagrams { .. } => "syslog",
            Self::Webhook(_) => "webhook",
            Self::Elasticsearch { .. } => "elasticsearch",
            Self::Splunk { .. } => "splunk",
            Self::Loki { .. } => "loki",
        }
    }

    /// What takes lines there.
    pub(super) fn transport(&self, sink: &Sink, host: &str) -> Box<dyn Transport> {
        match self {
            Self::File {
                path,
                bytes_max,
                keep,
            } => Box::new(Log::new(path.clone(), *bytes_max, *keep)),
            Self::Lines {
                place,
                facility,
                access,
            } => {
                let framing = facility.map_or(Framing::Newline, |facility| {
                    Framing::Syslog(Header::new(facility, host))
                });
                let (place, access) = (place.clone(), access.clone());
                Box::new(Lines::new(move || target(&place, &access), framing))
            }
            Self::Datagrams { place, facility } => {
                let to = match place {
                    Endpoint::Unix(path) => To::Unix(path.clone()),
                    Endpoint::Udp { host, port } | Endpoint::Tcp { host, port, .. } => {
                        To::Udp(host.clone(), *port)
                    }
                };
                Box::new(Datagrams::new(to, Header::new(*facility, host)))
            }
            Self::Webhook(web) => {
                let media = if sink.format.is_json() {
                    "application/x-ndjson"
                } else {
                    "text/plain; charset=utf-8"
                };
                Box::new(Webhook::new(web.server(), media))
            }
            Self::Elasticsearch { web, index } => Box::new(Bulk::new(web.server(), index.clone())),
            Self::Splunk {
                web,
                index,
                source_type,
                acknowledge,
            } => {
                let place = Place {
                    host: host.to_owned(),
                    index: index.clone(),
                    source_type: source_type.clone(),
                    is_json: sink.format.is_json(),
                };
                Box::new(Collector::new(web.server(), place, *acknowledge))
            }
            Self::Loki { web, labels } => Box::new(Push::new(web.server(), labels.clone(), host)),
        }
    }
}

impl Web {
    fn server(&self) -> Server {
        Server::new(self.access.clone(), self.url.clone(), self.gzip)
    }
}

fn target(place: &Endpoint, access: &Access) -> Result<Target, String> {
    match place {
        Endpoint::Unix(path) => Ok(Target::Unix(path.clone())),
        Endpoint::Tcp { host, port, tls } => Ok(Target::Tcp {
            host: host.clone(),
            port: *port,
            tls: if *tls {
                Some(tls::client(access).map_err(|error| error.to_string())?)
            } else {
                None
            },
        }),
        Endpoint::Udp { .. } => Err("datagrams have no connection".to_owned()),
    }
}
