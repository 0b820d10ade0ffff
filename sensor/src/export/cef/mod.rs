//! ArcSight's Common Event Format, version 0: a header, then keys and values, in one line. Keys of
//! the CEF dictionary come first, by the table in `keys.rs`; every field that they do not tell in
//! full follows under a key made of its name, so that nothing is left out. What is longer than may
//! be is cut, and said to be.

mod keys;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::LazyLock;

use super::json::{Written, rfc3339};
use crate::event::field::{ALL, Field, Fields, Value};
use crate::event::text::{escape_line, json_line};
use keys::{How, KEYS, Key};

/// Most characters of a value under a key that is made of a field's name.
const VALUE_MAX: usize = 4_000;
/// Most characters of the class of an event (`signatureId`).
const CLASS_MAX: usize = 1_023;
/// Most characters of its name.
const NAME_MAX: usize = 512;
/// Bytes of a record after which no more fields are written, but only named.
const RECORD_MAX: usize = 64 * 1024;
/// Ends what was cut.
const CUT: char = '…';
/// Key with the keys whose values are cut.
const TRUNCATED: &str = "sensorTruncated";
/// Key with the keys that are left out for want of room.
const OMITTED: &str = "sensorOmitted";

/// Keys made of the names of fields, by field: `sensor.boot_ns` is `sensorBootNs`. Where the
/// dictionary has such a key, for less than the field may hold, it is `ecsFilePath`.
static OWN_KEYS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ALL.iter()
        .map(|field| own_key(field.definition().name))
        .collect()
});

fn own_key(name: &str) -> String {
    let key = joined(name);
    if KEYS.iter().any(|known| known.name == key) {
        return joined(&format!("ecs.{name}"));
    }
    key
}

/// The words of a name as one.
fn joined(name: &str) -> String {
    let words = name.split(|c: char| !c.is_ascii_alphanumeric());
    let mut key = String::with_capacity(name.len());
    for word in words.filter(|word| !word.is_empty()) {
        if key.is_empty() {
            key.push_str(word);
        } else if let Some((first, rest)) = word.split_at_checked(1) {
            key.push_str(&first.to_ascii_uppercase());
            key.push_str(rest);
        }
    }
    key
}

/// An event as one line, without the newline.
///
/// # Errors
/// Only if the serializer of lists fails, which no event can make it do.
pub fn line(fields: &Fields<'_>) -> serde_json::Result<String> {
    let mut record = Record {
        text: header(fields),
        is_empty: true,
        truncated: Vec::new(),
        omitted: Vec::new(),
    };
    let mut told = vec![false; ALL.len()];
    let mut last = "";
    for key in KEYS.iter() {
        // No kind of event has two fields for one key; what comes from outside may.
        if key.name == last {
            continue;
        }
        let Some(value) = fields.get(key.field).and_then(|value| key.value(value)) else {
            continue;
        };
        last = key.name;
        let whole = record.put(key.name, &value, key.max);
        if let Some(label) = key.label.filter(|_| whole != Put::Omitted) {
            record.put(&format!("{}Label", key.name), label, VALUE_MAX);
        }
        if let (Some(told), true) = (told.get_mut(key.field as usize), key.tells(fields)) {
            *told |= whole == Put::Whole;
        }
    }
    for (field, value) in fields.entries() {
        let index = field as usize;
        if let (Some(false), Some(key)) = (told.get(index), OWN_KEYS.get(index)) {
            record.put(key, &text(value)?, VALUE_MAX);
        }
    }
    Ok(record.end())
}

/// What became of a value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    Whole,
    Cut,
    Omitted,
}

struct Record {
    text: String,
    /// Nothing follows the header yet.
    is_empty: bool,
    truncated: Vec<String>,
    omitted: Vec<String>,
}

impl Record {
    fn put(&mut self, key: &str, value: &str, max: usize) -> Put {
        let (shown, is_cut) = within(value, max);
        let escaped = escape_value(&shown);
        if self.text.len() + key.len() + escaped.len() > RECORD_MAX {
            self.omitted.push(key.to_owned());
            return Put::Omitted;
        }
        self.write(key, &escaped);
        if is_cut {
            self.truncated.push(key.to_owned());
            return Put::Cut;
        }
        Put::Whole
    }

    fn write(&mut self, key: &str, escaped: &str) {
        if !std::mem::take(&mut self.is_empty) {
            self.text.push(' ');
        }
        self.text.push_str(key);
        self.text.push('=');
        self.text.push_str(escaped);
    }

    fn end(mut self) -> String {
        for (key, names) in [
            (TRUNCATED, std::mem::take(&mut self.truncated)),
            (OMITTED, std::mem::take(&mut self.omitted)),
        ] {
            if !names.is_empty() {
                self.write(key, &names.join(","));
            }
        }
        self.text
    }
}

/// `CEF:0|vendor|product|version|class|name|severity|`.
fn header(fields: &Fields<'_>) -> String {
    let of = |field| match fields.get(field) {
        Some(Value::Text(text)) => Some(&**text),
        _ => None,
    };
    let version = of(Field::AgentVersion).unwrap_or_default();
    let dataset = of(Field::EventDataset).unwrap_or("unknown");
    let class = of(Field::RuleId).unwrap_or(dataset);
    let name = of(Field::RuleName).unwrap_or(dataset);
    let [version, class, name] = [(version, NAME_MAX), (class, CLASS_MAX), (name, NAME_MAX)]
        .map(|(text, max)| escape_header(&within(text, max).0));
    format!(
        "CEF:0|sensor|sensor|{version}|{class}|{name}|{}|",
        severity(dataset, of)
    )
}

/// 0 to 10.
fn severity<'a>(dataset: &str, of: impl Fn(Field) -> Option<&'a str>) -> u8 {
    match of(Field::SensorAlertSeverity) {
        Some("informational") => 1,
        Some("low") => 3,
        Some("medium") => 5,
        Some("high") => 8,
        Some("critical") => 10,
        _ if dataset == "sensor.lost" => 5,
        _ => 0,
    }
}

/// A text of at most so many characters, and whether it is cut.
fn within(text: &str, max: usize) -> (Cow<'_, str>, bool) {
    // As long in bytes as in characters at least.
    if text.len() <= max || text.chars().nth(max).is_none() {
        return (Cow::Borrowed(text), false);
    }
    let shown = text.chars().take(max.saturating_sub(1));
    (Cow::Owned(shown.chain([CUT]).collect()), true)
}

/// Where a bar ends a field and there are no line ends.
fn escape_header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in escape_line(text).chars() {
        match c {
            '\n' | '\r' => out.push(' '),
            '\\' | '|' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// Where the next `=` begins another value.
fn escape_value(text: &str) -> Cow<'_, str> {
    let shown = escape_line(text);
    if !shown.contains(['\\', '=', '\n', '\r']) {
        return shown;
    }
    let mut out = String::with_capacity(shown.len() + 8);
    for c in shown.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\\' | '=' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// A value as it is written under a field's own key: lists and objects as JSON.
fn text<'a>(value: &'a Value<'a>) -> serde_json::Result<Cow<'a, str>> {
    Ok(match value {
        Value::Text(text) => Cow::Borrowed(&**text),
        Value::Time(ns) => rfc3339(*ns).into(),
        Value::Unsigned(number) => number.to_string().into(),
        Value::Signed(number) => number.to_string().into(),
        Value::Bool(value) => value.to_string().into(),
        Value::Ip(address) => address.to_string().into(),
        Value::List(_) | Value::Object(_) => json_line(&Written(value))?.into(),
    })
}

impl Key {
    /// The value that is written under this key; `None` when it is of another sort.
    fn value<'a>(&self, value: &'a Value<'a>) -> Option<Cow<'a, str>> {
        match (self.how, value) {
            (How::Millis, Value::Time(ns)) => Some((ns / 1_000_000).to_string().into()),
            (How::V4, Value::Ip(address)) => address.is_ipv4().then(|| address.to_string().into()),
            (How::V6, Value::Ip(address)) => address.is_ipv6().then(|| address.to_string().into()),
            (How::Direction, Value::Text(text)) => match &**text {
                "ingress" => Some("0".into()),
                "egress" => Some("1".into()),
                _ => None,
            },
            (How::Joined, Value::List(values)) => {
                let texts: Option<Vec<_>> = values.iter().map(plain).collect();
                texts.map(|texts| texts.join(",").into())
            }
            (How::Plain, value) => plain(value),
            _ => None,
        }
    }

    /// Whether a value that is whole under this key tells all that its field does.
    fn tells(&self, fields: &Fields<'_>) -> bool {
        match (self.how, fields.get(self.field)) {
            (How::Millis, Some(Value::Time(ns))) => ns % 1_000_000 == 0,
            _ => true,
        }
    }
}

fn plain<'a>(value: &'a Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(&**text)),
        Value::Unsigned(number) => Some(number.to_string().into()),
        Value::Signed(number) => Some(number.to_string().into()),
        _ => None,
    }
}
