//! Indicators in STIX 2.1: bundles, and the envelopes that TAXII 2.1 hands them over in. Objects
//! are read one at a time, and what is broken in one costs no other. What a pattern means is
//! [`super::pattern`]'s business.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::json::Json;
use crate::event::attack;
use crate::event::parse::wall_ns;

/// Objects read from one document.
pub const OBJECTS_MAX: u64 = 2_000_000;
/// Longest id and name kept, in bytes.
const WORDS_MAX: usize = 256;
const NS: u64 = 1_000_000_000;

/// Why a document is not one.
#[derive(Debug, Error)]
pub enum StixError {
    /// It is not JSON, or ends too early.
    #[error("not JSON as STIX has it: {0}")]
    Json(String),
    /// It is JSON, and something else.
    #[error("neither a STIX bundle nor a TAXII envelope: there is no list `objects` in it")]
    NoObjects,
}

impl From<serde_json::Error> for StixError {
    /// What is said of a text repeats it, however long it is.
    fn from(error: serde_json::Error) -> Self {
        let text = error.to_string();
        if text.len() <= WORDS_MAX {
            return Self::Json(text);
        }
        let (line, column) = (error.line(), error.column());
        Self::Json(format!("{}… at line {line} column {column}", cut(&text)))
    }
}

/// An indicator, as far as it is used; one line of a cached copy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// `indicator--…`.
    pub id: Box<str>,
    /// Which version of it, in nanoseconds since the epoch.
    pub modified: u64,
    /// Taken back.
    #[serde(default)]
    pub revoked: bool,
    /// What it looks for.
    #[serde(default)]
    pub pattern: Box<str>,
    /// Its name.
    #[serde(default)]
    pub name: Box<str>,
    /// From when on it means something, in seconds since the epoch.
    #[serde(default)]
    pub from: u64,
    /// And until when, if it says.
    #[serde(default)]
    pub until: Option<u64>,
    /// How sure, in percent, if it says.
    #[serde(default)]
    pub confidence: Option<u8>,
    /// The ATT&CK technique it refers to.
    #[serde(default)]
    pub technique: Option<Box<str>>,
    /// The phase of an attack it belongs to, as ATT&CK calls it.
    #[serde(default)]
    pub phase: Option<Box<str>>,
    /// It marks something as harmless.
    #[serde(default)]
    pub benign: bool,
}

/// What an object of a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    /// An indicator.
    Indicator(Box<Record>),
    /// Something else that STIX knows.
    Other,
    /// It has not what an indicator must have.
    Broken(&'static str),
}

/// What surrounds the objects in an envelope (TAXII 2.1, 3.7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// There is more.
    pub more: bool,
    /// What to ask for it with.
    pub next: Option<String>,
    /// Objects there were, in the order in `take` got them.
    pub objects: u64,
}

/// Reads a bundle or an envelope, and gives its objects to `take` one after the other.
///
/// # Errors
/// When it is neither. Objects before that were given.
pub fn read(document: &[u8], take: &mut dyn FnMut(Object)) -> Result<Envelope, StixError> {
    let mut reader = Reader {
        take,
        envelope: Envelope::default(),
        has_objects: false,
    };
    let mut from = serde_json::Deserializer::from_slice(document);
    from.deserialize_any(&mut reader)?;
    from.end()?;
    if reader.has_objects {
        Ok(reader.envelope)
    } else {
        Err(StixError::NoObjects)
    }
}

/// An empty envelope may leave `objects` out (TAXII 2.1, 3.7).
#[must_use]
pub fn is_empty_envelope(document: &[u8]) -> bool {
    match serde_json::from_slice(document) {
        Ok(Json::Object(members)) => members.iter().all(|(name, _)| name == "more"),
        _ => false,
    }
}

struct Reader<'t> {
    take: &'t mut dyn FnMut(Object),
    envelope: Envelope,
    has_objects: bool,
}

impl<'de> Visitor<'de> for &mut Reader<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a STIX bundle or a TAXII envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        while let Some(Json::Text(name)) = members.next_key::<Json>()? {
            match name.as_str() {
                "objects" => members.next_value_seed(Objects(&mut *self))?,
                "more" => self.envelope.more = members.next_value::<Json>()?.is_true(),
                "next" => {
                    self.envelope.next = match members.next_value()? {
                        Json::Text(text) => Some(text),
                        Json::Number(number) => Some(number.to_string()),
                        _ => None,
                    };
                }
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

struct Objects<'r, 't>(&'r mut Reader<'t>);

impl<'de> DeserializeSeed<'de> for Objects<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Objects<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of STIX objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self(reader) = self;
        reader.has_objects = true;
        while let Some(json) = list.next_element::<Json>()? {
            reader.envelope.objects += 1;
            if reader.envelope.objects <= OBJECTS_MAX {
                (reader.take)(object(&json));
            }
        }
        Ok(())
    }
}

/// What an object is (STIX 2.1, 4.7, and 3.2 for what all have).
fn object(json: &Json) -> Object {
    match json.get("type").text() {
        Some("indicator") => match indicator(json) {
            Ok(record) => Object::Indicator(Box::new(record)),
            Err(why) => Object::Broken(why),
        },
        Some(_) => Object::Other,
        None => Object::Broken("an object without a type"),
    }
}

fn indicator(json: &Json) -> Result<Record, &'static str> {
    let id = json.get("id").text().filter(|id| id.len() <= WORDS_MAX);
    let time = |name| json.get(name).text().and_then(wall_ns);
    let record = Record {
        id: id.ok_or("an indicator without an id")?.into(),
        modified: time("modified")
            .or_else(|| time("created"))
            .ok_or("an indicator without the time it was modified")?,
        revoked: json.get("revoked").is_true(),
        ..Record::default()
    };
    if record.revoked {
        return Ok(record);
    }
    // The language has a name only since 2.1; before, there was one.
    if json
        .get("pattern_type")
        .text()
        .is_some_and(|kind| kind != "stix")
    {
        return Err("a pattern in another language than STIX");
    }
    let until = match json.get("valid_until") {
        Json::Text(text) => Some(wall_ns(text).ok_or("an indicator with a broken valid_until")?),
        _ => None,
    };
    let kinds = json.get("indicator_types").list();
    let confidence = json.get("confidence").number();
    Ok(Record {
        pattern: json
            .get("pattern")
            .text()
            .ok_or("an indicator without a pattern")?
            .into(),
        name: cut(json.get("name").text().unwrap_or_default()).into(),
        from: time("valid_from").ok_or("an indicator without a valid_from")? / NS,
        until: until.map(|until| until / NS),
        confidence: confidence.map(|sure| u8::try_from(sure.min(100)).unwrap_or(100)),
        technique: technique(json),
        phase: phase(json),
        benign: kinds.iter().any(|kind| kind.text() == Some("benign")),
        ..record
    })
}

/// The technique an object refers to, if it is one of ATT&CK's.
fn technique(json: &Json) -> Option<Box<str>> {
    let references = json.get("external_references").list().iter();
    let of_attack = references.filter(|reference| {
        let source = reference.get("source_name").text();
        source.is_some_and(|source| source.starts_with("mitre-attack"))
    });
    let ids = of_attack.filter_map(|reference| reference.get("external_id").text());
    ids.into_iter().find(|id| is_technique(id)).map(Into::into)
}

/// The first phase it names of those that ATT&CK has.
fn phase(json: &Json) -> Option<Box<str>> {
    let phases = json.get("kill_chain_phases").list().iter();
    let of_attack = phases.filter(|phase| {
        let chain = phase.get("kill_chain_name").text();
        chain.is_some_and(|chain| chain.starts_with("mitre-attack"))
    });
    let names = of_attack.filter_map(|phase| phase.get("phase_name").text());
    names
        .into_iter()
        .find(|name| attack::tactic(name).is_some())
        .map(Into::into)
}

/// `T1071`, `T1071.001`.
#[must_use]
pub fn is_technique(id: &str) -> bool {
    let digits =
        |text: &str, count| text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    id.strip_prefix('T')
        .is_some_and(|rest| match rest.split_once('.') {
            Some((whole, part)) => digits(whole, 4) && digits(part, 3),
            None => digits(rest, 4),
        })
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WORDS_MAX))
        .unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(document: &str) -> (Vec<Object>, Envelope) {
        let mut objects = Vec::new();
        let envelope = read(document.as_bytes(), &mut |object| objects.push(object)).unwrap();
        (objects, envelope)
    }

    fn one(members: &str) -> Object {
        let (objects, _) = all(&format!(
            r#"{{"objects":[{{"type":"indicator","id":"indicator--1","modified":"2026-01-02T00:00:00.000Z","pattern":"[ipv4-addr:value = '192.0.2.7']","valid_from":"1970-01-02T00:00:00Z"{members}}}]}}"#
        ));
        objects.into_iter().next().unwrap()
    }

    fn record(members: &str) -> Record {
        match one(members) {
            Object::Indicator(record) => *record,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_an_indicator_says_is_honoured() {
        let plain = record("");
        assert_eq!(
            (plain.from, plain.until, plain.confidence),
            (86_400, None, None)
        );
        let full = record(
            r#","valid_until":"1970-01-03T00:00:00.5Z","confidence":85,"name":"C2","indicator_types":["malicious-activity"],"external_references":[{"source_name":"x","external_id":"T1"},{"source_name":"mitre-attack","external_id":"T1071.001"}],"kill_chain_phases":[{"kill_chain_name":"lockheed","phase_name":"x"},{"kill_chain_name":"mitre-attack","phase_name":"exfiltration"}]"#,
        );
        assert_eq!(full.phase.as_deref(), Some("exfiltration"));
        assert_eq!((full.until, full.confidence), (Some(2 * 86_400), Some(85)));
        assert_eq!(
            (&*full.name, full.technique.as_deref()),
            ("C2", Some("T1071.001"))
        );
        assert!(record(r#","indicator_types":["benign"]"#).benign);
        assert!(record(r#","revoked":true"#).revoked);
        assert_eq!(record(r#","confidence":4711"#).confidence, Some(100));
    }

    #[test]
    fn what_is_broken_in_one_object_costs_no_other() {
        let good = r#"{"type":"indicator","id":"i","created":"2026-01-01T00:00:00Z","pattern":"x","valid_from":"2026-01-01T00:00:00Z"}"#;
        let (objects, envelope) = all(&format!(
            r#"{{"more":true,"next":"n7","objects":[{good},{{}},7,null,[],{{"type":"malware","x":[1,{{}}]}},{{"type":"indicator","id":5}},{good}]}}"#
        ));
        assert_eq!(objects.len(), 8);
        let is_indicator = |object: &Object| matches!(object, Object::Indicator(_));
        assert_eq!(
            objects.iter().filter(|object| is_indicator(object)).count(),
            2
        );
        assert_eq!(
            objects
                .iter()
                .filter(|object| **object == Object::Other)
                .count(),
            1
        );
        assert_eq!(
            (envelope.more, envelope.next.as_deref()),
            (true, Some("n7"))
        );
        assert!(matches!(
            one(r#","pattern_type":"sigma""#),
            Object::Broken(_)
        ));
        assert!(matches!(one(r#","valid_until":"soon""#), Object::Broken(_)));
        assert!(matches!(one(r#","valid_from":7"#), Object::Broken(_)));
    }

    #[test]
    fn what_is_no_bundle_is_said_to_be_none() {
        let say = |text: &str| read(text.as_bytes(), &mut |_| {}).unwrap_err().to_string();
        assert!(say("{}").contains("no list `objects`"));
        assert!(say("<html>").contains("not JSON"));
        assert!(say(&format!("{:?}", "x".repeat(1 << 20))).len() < 400);
        assert!(say("[]").contains("a STIX bundle"));
        assert!(say(r#"{"objects":7}"#).contains("a list of STIX objects"));
        assert!(say(r#"{"objects":[]} more"#).contains("trailing"));
        assert!(say(&"[".repeat(100_000)).contains("not JSON"));
        assert!(is_empty_envelope(b"{}") && is_empty_envelope(br#"{"more":false}"#));
        assert!(!is_empty_envelope(br#"{"title":"an API root"}"#) && !is_empty_envelope(b"7"));
    }

    #[test]
    fn techniques_have_four_digits_and_parts_three() {
        assert!(is_technique("T1071") && is_technique("T1071.001"));
        assert!(!is_technique("T107") && !is_technique("TA0011") && !is_technique("T1071.1"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = read(&bytes, &mut |_| {});
        }
    }
}
