//! The fields of one line, as they were before it was written: for formats that are made of
//! events after these have been on disk. What fields mean together is not known here.

use std::borrow::Cow;

use super::ParseError;
use super::row::{Raw, Row};
use super::time;
use crate::event::field::{Fields, Type, Value};

/// Reads back what `export::json` has written, nested or flat, into the same fields. Texts are
/// those of the line itself where nothing in them was escaped.
///
/// # Errors
/// When it is no JSON object, or has a field that nobody knows, or one of another type than it
/// has here: then it is not a line that this version has written.
pub fn fields(line: &[u8]) -> Result<Fields<'_>, ParseError> {
    let mut row = Row::read(line)?;
    if let Some(name) = row.unknown.first.take() {
        return Err(ParseError::Unknown(name));
    }
    let mut fields = Fields::default();
    for (field, raw) in row.into_values() {
        let kind = field.definition().kind;
        let value = value(kind, raw).ok_or_else(|| ParseError::wrong(field, kind.words()))?;
        fields.put(field, value);
    }
    Ok(fields)
}

/// The value of a field of some type; `None` when it is of another.
fn value(kind: Type, raw: Raw<'_>) -> Option<Value<'_>> {
    match (kind, raw) {
        (Type::Date, Raw::Text(text)) => time::wall_ns(&text).map(Value::Time),
        (Type::Ip, Raw::Text(text)) => text.parse().ok().map(Value::Ip),
        (Type::Long, raw @ (Raw::Unsigned(_) | Raw::Signed(_)))
        | (Type::Boolean, raw @ Raw::Bool(_))
        | (Type::Keyword, raw @ Raw::Text(_)) => scalar(raw),
        (Type::Keywords, Raw::List(values)) => list(values, |raw| value(Type::Keyword, raw)),
        (Type::Ips, Raw::List(values)) => list(values, |raw| value(Type::Ip, raw)),
        (Type::Objects, Raw::List(values)) => list(values, |raw| object(raw, scalar)),
        (Type::Labels, raw) => object(raw, |raw| value(Type::Keyword, raw)),
        _ => None,
    }
}

fn list<'a>(
    values: Vec<Raw<'a>>,
    read: impl Fn(Raw<'a>) -> Option<Value<'a>>,
) -> Option<Value<'a>> {
    let values: Option<Vec<_>> = values.into_iter().map(read).collect();
    values.map(Value::List)
}

fn object<'a>(raw: Raw<'a>, read: impl Fn(Raw<'a>) -> Option<Value<'a>>) -> Option<Value<'a>> {
    let Raw::Object(members) = raw else {
        return None;
    };
    let member = |(name, raw)| Some((name, read(raw)?));
    let members: Option<Vec<(Cow<'_, str>, _)>> = members.into_iter().map(member).collect();
    members.map(Value::Object)
}

/// Members of objects have no types of their own.
fn scalar(raw: Raw<'_>) -> Option<Value<'_>> {
    match raw {
        Raw::Text(text) => Some(Value::Text(text)),
        Raw::Unsigned(number) => Some(Value::Unsigned(number)),
        Raw::Signed(number) => Some(number.into()),
        Raw::Bool(value) => Some(Value::Bool(value)),
        Raw::List(_) | Raw::Object(_) | Raw::Other => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(line: &str) -> String {
        fields(line.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, said) in [
            ("", "not an event in JSON"),
            ("[]", "an object"),
            ("{} {}", "trailing"),
            (r#"{"process.made_up": 1}"#, "\"process.made_up\""),
            (
                r#"{"process": {"made_up": {"x": 1}}}"#,
                "\"process.made_up.x\"",
            ),
            (
                r#"{"process": {"pid": "1"}}"#,
                "process.pid is not a whole number",
            ),
            (
                r#"{"process.pid": 1.5}"#,
                "process.pid is not a whole number",
            ),
            (
                r#"{"process.pid": null}"#,
                "process.pid is not a whole number",
            ),
            (r#"{"process.name": ["sh"]}"#, "process.name is not text"),
            (
                r#"{"process.args": "sh"}"#,
                "process.args is not a list of texts",
            ),
            (
                r#"{"process.args": ["sh", 1]}"#,
                "process.args is not a list of texts",
            ),
            (r#"{"source.ip": "here"}"#, "source.ip is not an IP address"),
            (r#"{"@timestamp": "now"}"#, "@timestamp is not a time"),
            (
                r#"{"dns.answers": [{"ttl": [1]}]}"#,
                "dns.answers is not a list of objects",
            ),
            (
                r#"{"labels": {"x": 1}}"#,
                "labels is not an object of texts",
            ),
            (
                r#"{"process.pid": 1, "process": {"pid": 1}}"#,
                "process.pid is there twice",
            ),
        ] {
            let error = error_of(line);
            assert!(error.contains(said), "{line}: {error}");
        }
    }

    #[test]
    fn the_version_of_the_schema_is_no_field() {
        let none = fields(br#"{"ecs": {"version": "9.5.0"}}"#).unwrap();
        assert_eq!(none, Fields::default());
    }
}
