//! Playbooks as they stand in the configuration: `[[respond.playbook]]`. Everything that is not
//! understood is refused, because nobody is there to ask when it matters.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::limits::{Hours, Limits, PER_HOUR, PER_HOUR_MAX};
use super::pattern::Pattern;
use super::when::{PeerIs, When};
use super::{Action, Argument, Mode, Placeholder, Playbook, Run, Set};
use crate::event::alert::Severity;
use crate::event::attack::{TACTICS, Tactic, tactic};
use crate::respond::clock::parse_span;
use crate::respond::firewall::network::Network;

/// Playbooks there can be.
pub const PLAYBOOKS_MAX: usize = 128;
/// Longest name, in bytes: it has to fit into the note of a block.
const NAME_MAX: usize = 48;
/// Elements of a list in a condition.
const LIST_MAX: usize = 256;
/// Arguments of a program that is run.
const ARGUMENTS_MAX: usize = 64;
/// Longest of them, in bytes.
const ARGUMENT_MAX: usize = 4_096;
/// How long a block or an isolation lasts when the playbook does not say.
const TTL: Duration = Duration::from_secs(3_600);
/// How long a program may take when the playbook does not say.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take at most.
const TIMEOUT_MAX: Duration = Duration::from_secs(600);
/// How long a yes is waited for when the playbook does not say.
const ASK_WITHIN: Duration = Duration::from_secs(900);
/// The user that programs run as when the playbook does not say.
const USER: &str = "nobody";

/// A word that is one of a few.
macro_rules! word {
    ($type:ty) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = String::deserialize(deserializer)?;
                Self::from_name(&word).ok_or_else(|| D::Error::unknown_variant(&word, Self::NAMES))
            }
        }
    };
}

word!(Mode);
word!(PeerIs);

/// A time with its unit.
#[derive(Clone, Copy, Debug)]
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_span(&text).map(Self).map_err(D::Error::custom)
    }
}

/// How long something lasts.
#[derive(Clone, Copy, Debug)]
struct Ttl(Option<Duration>);

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "forever" {
            return Ok(Self(None));
        }
        let time = parse_span(&text).map_err(|error| format!("{error}, or \"forever\""));
        time.map(|time| Self(Some(time))).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWhen {
    min_severity: Option<String>,
    min_confidence: Option<u8>,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    techniques: Vec<String>,
    #[serde(default)]
    tactics: Vec<String>,
    #[serde(default)]
    services: Vec<String>,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    containers: Vec<String>,
    #[serde(default)]
    executables: Vec<String>,
    peer: Option<PeerIs>,
    #[serde(default)]
    peers: Vec<Network>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRun {
    run: Vec<String>,
    timeout: Option<Time>,
    user: Option<String>,
}

/// One of `[[respond.playbook]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Written {
    name: String,
    #[serde(default)]
    mode: Mode,
    when: WrittenWhen,
    unless: Option<WrittenWhen>,
    actions: Vec<Action>,
    ttl: Option<Ttl>,
    per_hour: Option<u32>,
    cool_down: Option<Time>,
    hours: Option<String>,
    #[serde(default)]
    ask: bool,
    ask_within: Option<Time>,
}

impl<'de> Deserialize<'de> for Action {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ActionVisitor)
    }
}

struct ActionVisitor;

impl<'de> Visitor<'de> for ActionVisitor {
    type Value = Action;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the word for an action, or { run = [\"/path\", \"argument\"] }")
    }

    fn visit_str<E: serde::de::Error>(self, word: &str) -> Result<Action, E> {
        Action::from_name(word).ok_or_else(|| E::unknown_variant(word, Action::NAMES))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Action, A::Error> {
        let written = WrittenRun::deserialize(MapAccessDeserializer::new(map))?;
        run(written)
            .map(|run| Action::Run(Arc::new(run)))
            .map_err(A::Error::custom)
    }
}

fn run(written: WrittenRun) -> Result<Run, String> {
    let WrittenRun { run, timeout, user } = written;
    let mut words = run.into_iter();
    let program = words.next().unwrap_or_default();
    if !program.starts_with('/') || program.contains(['{', '\0']) || program.len() > ARGUMENT_MAX {
        return Err(format!(
            "run = [{program:?}, …] must begin with the whole path of a program; it is not looked for and no shell reads it"
        ));
    }
    let arguments: Box<[Argument]> = words.map(argument).collect::<Result<_, _>>()?;
    if arguments.len() > ARGUMENTS_MAX {
        return Err(format!("a program takes {ARGUMENTS_MAX} arguments at most"));
    }
    let timeout = timeout.map_or(TIMEOUT, |time| time.0);
    if timeout > TIMEOUT_MAX {
        return Err(format!("timeout is {} s at most", TIMEOUT_MAX.as_secs()));
    }
    let user = user.unwrap_or_else(|| USER.to_owned());
    if user.is_empty() || user.len() > ARGUMENT_MAX || user.contains([':', '\n', '\0']) {
        return Err(format!("{user:?} is no name of a user"));
    }
    Ok(Run {
        program: program.into(),
        arguments,
        timeout,
        user: user.into(),
    })
}

/// Placeholders stand for whole arguments only: then nothing that an intruder chose can become
/// part of anything else.
fn argument(text: String) -> Result<Argument, String> {
    if let Some(placeholder) = Placeholder::from_name(&text) {
        return Ok(Argument::Of(placeholder));
    }
    if let Some(inside) = Placeholder::NAMES.iter().find(|name| text.contains(**name)) {
        return Err(format!(
            "{text:?}: {inside} has to be an argument of its own"
        ));
    }
    if text.starts_with('{') && text.ends_with('}') {
        return Err(format!(
            "{text:?} stands for nothing; there are {}",
            Placeholder::NAMES.join(", ")
        ));
    }
    if text.len() > ARGUMENT_MAX || text.contains('\0') {
        return Err(format!(
            "an argument has at most {ARGUMENT_MAX} bytes, and none of them is 0"
        ));
    }
    Ok(Argument::Text(text.into()))
}

impl TryFrom<WrittenWhen> for When {
    type Error = String;

    fn try_from(written: WrittenWhen) -> Result<Self, String> {
        let WrittenWhen {
            min_severity,
            min_confidence,
            rules,
            techniques,
            tactics,
            services,
            users,
            containers,
            executables,
            peer,
            peers,
        } = written;
        let when = Self {
            min_severity: min_severity.as_deref().map(severity).transpose()?,
            min_confidence: min_confidence.map(percent).transpose()?,
            rules: list(rules, Pattern::parse)?,
            techniques: list(techniques, technique)?,
            tactics: list(tactics, known_tactic)?,
            services: list(services, Pattern::parse)?,
            users: list(users, Pattern::parse)?,
            containers: list(containers, Pattern::parse)?,
            executables: list(executables, Pattern::parse)?,
            peer,
            peers: peers.into(),
        };
        if when.peers.len() > LIST_MAX {
            return Err(format!("a list has at most {LIST_MAX} elements"));
        }
        if when.is_empty() {
            return Err(
                "a condition that asks for nothing means every alert; if you want that, say min_severity = \"informational\"".to_owned(),
            );
        }
        Ok(when)
    }
}

fn list<T>(
    texts: Vec<String>,
    element: impl Fn(&str) -> Result<T, String>,
) -> Result<Box<[T]>, String> {
    if texts.len() > LIST_MAX {
        return Err(format!("a list has at most {LIST_MAX} elements"));
    }
    texts.iter().map(|text| element(text)).collect()
}

fn severity(name: &str) -> Result<Severity, String> {
    Severity::from_name(name).ok_or_else(|| {
        format!("{name:?} is no severity; there are informational, low, medium, high and critical")
    })
}

fn percent(number: u8) -> Result<u8, String> {
    (number <= 100)
        .then_some(number)
        .ok_or_else(|| format!("min_confidence = {number} is out of range: 0 to 100 percent"))
}

fn technique(text: &str) -> Result<Box<str>, String> {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.strip_prefix('T').unwrap_or_default();
    let valid = match number.split_once('.') {
        Some((whole, part)) => digits(whole, 4) && digits(part, 3),
        None => digits(number, 4),
    };
    valid
        .then(|| text.into())
        .ok_or_else(|| format!("{text:?} is no technique; write it as T1059 or T1059.004"))
}

fn known_tactic(text: &str) -> Result<Tactic, String> {
    let by_id = TACTICS.iter().copied().find(|tactic| tactic.id == text);
    by_id.or_else(|| tactic(text)).ok_or_else(|| {
        let names: Vec<_> = TACTICS.iter().map(|tactic| tactic.name).collect();
        format!("{text:?} is no tactic; there are {}", names.join(", "))
    })
}

impl TryFrom<Written> for Playbook {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.name.clone();
        playbook(written).map_err(|error| format!("playbook {name:?}: {error}"))
    }
}

fn playbook(written: Written) -> Result<Playbook, String> {
    let Written {
        name,
        mode,
        when,
        unless,
        mut actions,
        ttl,
        per_hour,
        cool_down,
        hours,
        ask,
        ask_within,
    } = written;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
        return Err(format!(
            "a name has 1 to {NAME_MAX} letters, digits, dots, dashes and underscores"
        ));
    }
    actions.sort_by_key(Action::turn);
    let twice = |pair: &[Action]| matches!(pair, [first, second] if first == second);
    if let Some([action, ..]) = actions.windows(2).find(|pair| twice(pair)) {
        return Err(format!("{} is there twice", action.name()));
    }
    if actions.is_empty() {
        return Err("there are no actions".to_owned());
    }
    let per_hour = per_hour.unwrap_or(PER_HOUR);
    if !(1..=PER_HOUR_MAX).contains(&per_hour) {
        return Err(format!(
            "per_hour = {per_hour} is out of range: 1 to {PER_HOUR_MAX}"
        ));
    }
    if !ask && ask_within.is_some() {
        return Err("ask_within means nothing without ask = true".to_owned());
    }
    Ok(Playbook {
        name: name.into(),
        mode,
        when: when.try_into()?,
        unless: unless.map(When::try_from).transpose()?,
        actions: actions.into(),
        ttl: ttl.map_or(Some(TTL), |ttl| ttl.0),
        limits: Limits {
            per_hour,
            cool_down: cool_down.map_or(Duration::ZERO, |time| time.0),
            hours: hours.as_deref().map(Hours::parse).transpose()?,
            ask: ask.then(|| ask_within.map_or(ASK_WITHIN, |time| time.0)),
        },
    })
}

impl<'de> Deserialize<'de> for Playbook {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?
            .try_into()
            .map_err(D::Error::custom)
    }
}

impl Set {
    /// Playbooks that are in force together, as far as `mode` goes.
    ///
    /// # Errors
    /// When there are too many, or two of one name.
    pub fn new(mode: Mode, playbooks: &[Playbook]) -> Result<Self, String> {
        if playbooks.len() > PLAYBOOKS_MAX {
            return Err(format!("there can be {PLAYBOOKS_MAX} playbooks"));
        }
        let mut names: Vec<_> = playbooks.iter().map(|playbook| &playbook.name).collect();
        names.sort_unstable();
        if let Some([name, _]) = names
            .windows(2)
            .find(|pair| matches!(pair, [a, b] if a == b))
        {
            return Err(format!("two playbooks are called {name:?}"));
        }
        Ok(Self {
            mode,
            playbooks: playbooks.iter().cloned().map(Arc::new).collect(),
        })
    }
}
