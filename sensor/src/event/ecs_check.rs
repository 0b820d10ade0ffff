//! Whether an event we write is Elastic Common Schema, judged by the schema's own field list
//! and not by us. Tests only: it reads the list in place (`shared/schemas/ecs/fields.csv`
//! beside the workspace, 9.5.0-dev) and ships with nothing.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::OnceLock;

use serde_json::Value;

/// Our own fields live below this one; ECS has none of that name.
const CUSTOM_ROOT: &str = "sensor";

/// Fields with a closed list of values. The CSV does not carry them; they are from the ECS
/// reference, "ECS categorization fields" and the pages of the fields themselves.
const CLOSED: &[(&str, &[&str])] = &[
    (
        "event.kind",
        &[
            "alert",
            "asset",
            "enrichment",
            "event",
            "metric",
            "state",
            "pipeline_error",
            "signal",
        ],
    ),
    (
        "event.category",
        &[
            "api",
            "authentication",
            "configuration",
            "database",
            "driver",
            "file",
            "host",
            "iam",
            "intrusion_detection",
            "library",
            "malware",
            "network",
            "package",
            "process",
            "registry",
            "session",
            "threat",
            "vulnerability",
            "web",
        ],
    ),
    (
        "event.type",
        &[
            "access",
            "admin",
            "allowed",
            "change",
            "connection",
            "creation",
            "deletion",
            "denied",
            "device",
            "end",
            "error",
            "group",
            "indicator",
            "info",
            "installation",
            "protocol",
            "start",
            "user",
        ],
    ),
    ("event.outcome", &["failure", "success", "unknown"]),
    (
        "network.direction",
        &[
            "ingress", "egress", "inbound", "outbound", "internal", "external", "unknown",
        ],
    ),
    ("dns.type", &["answer", "query"]),
];

/// The field list is not on this machine; its text begins with `skipped: `.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped(String);

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

/// Every way in which an event is not ECS, one line each; empty when it is.
///
/// # Errors
/// [`Skipped`] when the field list is absent: print it and return.
pub(crate) fn check(event: &Value) -> Result<Vec<String>, Skipped> {
    static SCHEMA: OnceLock<Result<Schema, Skipped>> = OnceLock::new();
    let schema = SCHEMA
        .get_or_init(Schema::load)
        .as_ref()
        .map_err(Clone::clone)?;
    Ok(schema.check(event))
}

/// Fails the test with all problems of an event, or prints `skipped: …`.
#[track_caller]
pub(crate) fn assert_ecs(event: &Value) {
    match check(event) {
        Ok(problems) => assert!(
            problems.is_empty(),
            "not ECS:\n  {}\nin {event:#}",
            problems.join("\n  ")
        ),
        Err(skipped) => println!("{skipped}"),
    }
}

struct Field {
    kind: String,
    array: bool,
}

struct Schema {
    fields: HashMap<String, Field>,
    /// Every proper prefix of a field: what an object may be there for.
    parents: HashSet<String>,
}

impl Schema {
    fn load() -> Result<Self, Skipped> {
        let path = PathBuf::from(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../shared/schemas/ecs/fields.csv"
        ));
        let text = std::fs::read_to_string(&path)
            .map_err(|e| Skipped(format!("no ECS field list ({}: {e})", path.display())))?;
        Ok(Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let mut rows = csv(text).into_iter();
        let head = rows.next().expect("a header line");
        let column = |name: &str| {
            head.iter()
                .position(|c| c == name)
                .unwrap_or_else(|| panic!("no column {name} in {head:?}"))
        };
        let (field, kind, normalization) =
            (column("Field"), column("Type"), column("Normalization"));
        let mut fields = HashMap::new();
        for row in rows {
            fields.insert(
                row[field].clone(),
                Field {
                    kind: row[kind].clone(),
                    array: row[normalization] == "array",
                },
            );
        }
        // `process.name.text` is how Elasticsearch indexes `process.name` a second time; no event has it.
        let scalar: HashSet<String> = fields
            .iter()
            .filter(|(_, f)| !is_object(&f.kind))
            .map(|(name, _)| name.clone())
            .collect();
        fields.retain(|name, _| !prefixes(name).any(|p| scalar.contains(p)));
        let parents = fields
            .keys()
            .flat_map(|name| prefixes(name))
            .map(str::to_owned)
            .collect();
        Self { fields, parents }
    }

    fn check(&self, event: &Value) -> Vec<String> {
        let mut problems = Vec::new();
        if !event.is_object() {
            problems.push(format!("an event is an object, not {event}"));
        }
        self.walk("", event, &mut problems);
        problems
    }

    /// Looks at the members of an object below `path`.
    fn walk(&self, path: &str, value: &Value, problems: &mut Vec<String>) {
        for (key, value) in value.as_object().into_iter().flatten() {
            let path = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            if path == CUSTOM_ROOT || path.starts_with(&format!("{CUSTOM_ROOT}.")) {
                continue;
            }
            match self.fields.get(&path) {
                Some(field) => self.field(&path, field, value, problems),
                None if value.is_object() && self.parents.contains(&path) => {
                    self.walk(&path, value, problems)
                }
                None => problems.push(format!(
                    "{path}: not an ECS field, and not below {CUSTOM_ROOT}."
                )),
            }
        }
    }

    fn field(&self, path: &str, field: &Field, value: &Value, problems: &mut Vec<String>) {
        let items = match value {
            Value::Array(items)
                if field.array || matches!(field.kind.as_str(), "nested" | "geo_point") =>
            {
                items.as_slice()
            }
            Value::Array(_) => {
                problems.push(format!("{path}: one value expected, not an array"));
                return;
            }
            _ if field.array => {
                problems.push(format!("{path}: array expected, got {value}"));
                return;
            }
            one => std::slice::from_ref(one),
        };
        for item in items {
            if !fits(&field.kind, item) {
                problems.push(format!("{path}: {} expected, got {item}", field.kind));
            } else if let Some((_, allowed)) = CLOSED.iter().find(|(name, _)| *name == path)
                && !item.as_str().is_some_and(|s| allowed.contains(&s))
            {
                problems.push(format!("{path}: {item} is none of {}", allowed.join(", ")));
            }
            if item.is_object() && is_object(&field.kind) && self.parents.contains(path) {
                self.walk(path, item, problems);
            }
        }
    }
}

fn is_object(kind: &str) -> bool {
    matches!(kind, "object" | "nested" | "flattened")
}

/// `a` and `a.b` of `a.b.c`.
fn prefixes(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(at, _)| &name[..at])
}

/// Elasticsearch's field types: "Field data types" in its reference.
fn fits(kind: &str, value: &Value) -> bool {
    let text = value.as_str();
    match kind {
        "keyword" | "constant_keyword" | "wildcard" | "match_only_text" | "text" => text.is_some(),
        // Signed 64 bits: u64::MAX is refused by Elasticsearch.
        "long" => value.as_i64().is_some(),
        "integer" => value.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        "float" | "double" | "scaled_float" => value.is_number(),
        "boolean" => value.is_boolean(),
        "ip" => text.is_some_and(|t| t.parse::<IpAddr>().is_ok()),
        "date" => text.is_some_and(is_rfc3339),
        "geo_point" => value.is_object() || value.is_number() || text.is_some(),
        kind if is_object(kind) => value.is_object(),
        other => panic!("this ECS has a type the check does not know: {other}"),
    }
}

/// RFC 3339, 5.6 `date-time`, upper case as ECS examples are.
fn is_rfc3339(text: &str) -> bool {
    let Some((date_time, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let shape = "dddd-dd-ddTdd:dd:dd";
    if !date_time.bytes().zip(shape.bytes()).all(|(c, s)| {
        if s == b'd' {
            c.is_ascii_digit()
        } else {
            c == s
        }
    }) {
        return false;
    }
    let number = |at: usize| date_time[at..at + 2].parse::<u8>().unwrap();
    let (year, month, day) = (date_time[..4].parse::<u32>().unwrap(), number(5), number(8));
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u8::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return false,
    };
    if !(1..=days).contains(&day) || number(11) > 23 || number(14) > 59 || number(17) > 60 {
        return false;
    }
    let zone = match rest.strip_prefix('.') {
        Some(fraction) => {
            let zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
            if zone.len() == fraction.len() {
                return false;
            }
            zone
        }
        None => rest,
    };
    let offset = |zone: &str| {
        let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
        let digits = [hours, minutes]
            .iter()
            .all(|p| p.len() == 2 && p.bytes().all(|b| b.is_ascii_digit()));
        (digits && hours <= "23" && minutes <= "59").then_some(())
    };
    zone == "Z" || offset(zone).is_some()
}

/// RFC 4180: quoted cells may hold commas, line ends and doubled quotes.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted && chars.peek() == Some(&'\n') => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    if !cell.is_empty() || !row.is_empty() {
        row.push(cell);
        rows.push(row);
    }
    rows
}

mod tests;
