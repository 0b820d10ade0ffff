//! Statements about records of the Common Event Format, by a reader that is as strict as its
//! description; and `docs/formats/cef.md`, kept current.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::export::roundtrip::any;
use crate::page;

/// A record as a receiver has it.
#[derive(Debug)]
struct Read {
    header: Vec<String>,
    extension: BTreeMap<String, String>,
}

/// Reads a record; panics at whatever the format does not allow.
fn read(line: &str) -> Read {
    assert!(!line.chars().any(char::is_control), "{line:?}");
    let mut rest = line.strip_prefix("CEF:0|").unwrap();
    let mut header = Vec::new();
    while header.len() < 6 {
        let (field, after) = until_bar(rest);
        header.push(field);
        rest = after;
    }
    let severity: u8 = header[5].parse().unwrap();
    assert!(severity <= 10);
    Read {
        header,
        extension: extension(rest),
    }
}

fn until_bar(text: &str) -> (String, &str) {
    let mut field = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '|' => return (field, &text[at + 1..]),
            '\\' => match chars.next() {
                Some((_, c @ ('\\' | '|'))) => field.push(c),
                other => panic!("{other:?} after a backslash in the header of {text:?}"),
            },
            c => field.push(c),
        }
    }
    panic!("a header without an end: {text:?}");
}

/// Keys and values: `=` only ever stands after a key or a backslash, and a key after a space.
fn extension(text: &str) -> BTreeMap<String, String> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut word = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '=' => {
                let (before, key) = word.rsplit_once(' ').unwrap_or(("", &word));
                assert!(
                    key.starts_with(|c: char| c.is_ascii_alphabetic()),
                    "{key:?} in {text}"
                );
                assert!(
                    key.chars().all(|c| c.is_ascii_alphanumeric()),
                    "{key:?} in {text}"
                );
                let (before, key) = (before.to_owned(), key.to_owned());
                match pairs.last_mut() {
                    Some((_, value)) => *value = before,
                    None => assert_eq!(before, ""),
                }
                pairs.push((key, String::new()));
                word.clear();
            }
            '\\' => match chars.next() {
                Some(c @ ('\\' | '=')) => word.push(c),
                Some('n') => word.push('\n'),
                Some('r') => word.push('\r'),
                other => panic!("{other:?} after a backslash in {text:?}"),
            },
            c => word.push(c),
        }
    }
    if let Some((_, value)) = pairs.last_mut() {
        *value = word;
    }
    let count = pairs.len();
    let pairs: BTreeMap<_, _> = pairs.into_iter().collect();
    assert_eq!(pairs.len(), count, "a key is there twice in {text}");
    pairs
}

fn event_with(field: Field, text: &str) -> Read {
    let mut fields = Fields::default();
    fields.put(Field::EventDataset, "process.exec");
    fields.put(field, text);
    read(&line(&fields).unwrap())
}

#[test]
fn what_has_a_meaning_in_the_format_is_escaped_where_it_has_it() {
    let text = "a|b=c\\d\ne\rf";
    let mut fields = Fields::default();
    fields.put(Field::RuleId, text);
    fields.put(Field::RuleName, "x\\");
    fields.put(Field::Message, text);
    let written = line(&fields).unwrap();
    assert!(
        written.starts_with(r"CEF:0|sensor|sensor||a\|b=c\\d e f|x\\|0|msg=a|b\=c\\d\ne\rf "),
        "{written}"
    );
    let back = read(&written);
    assert_eq!(back.extension["msg"], text);
    assert_eq!(back.header[4], "x\\");
}

#[test]
fn controls_are_spelled_out_and_kept_apart_from_what_looks_like_them() {
    for (raw, shown) in [
        ("\u{1b}[2J\0", r"\x1b[2J\x00"),
        ("\u{202e}\u{85}", r"\u{202e}\u{85}"),
        (r"\x1b", r"\\x1b"),
        (r"C:\dir", r"C:\dir"),
        ("\t", r"\t"),
    ] {
        assert_eq!(event_with(Field::Message, raw).extension["msg"], shown);
    }
}

#[test]
fn what_is_too_long_is_cut_and_said_to_be() {
    let long = "é".repeat(5_000);
    let record = event_with(Field::ProcessCommandLine, &long);
    assert_eq!(record.extension["cs1"].chars().count(), 4_000);
    assert!(record.extension["cs1"].ends_with("é…"));
    assert_eq!(record.extension["cs1Label"], "Command Line");
    assert_eq!(record.extension[TRUNCATED], "cs1,processCommandLine");
    // Longer than the dictionary allows, but not than we do.
    let path = format!("/{}", "x".repeat(2_000));
    let record = event_with(Field::FilePath, &path);
    assert_eq!(record.extension["filePath"].chars().count(), 1_023);
    assert_eq!(record.extension["ecsFilePath"], path);
    assert_eq!(record.extension[TRUNCATED], "filePath");
}

#[test]
fn a_record_has_a_greatest_length_and_names_what_is_left_out() {
    let mut fields = Fields::default();
    for field in ALL {
        fields.put(*field, "\\".repeat(10_000));
    }
    let written = line(&fields).unwrap();
    let names: usize = OWN_KEYS.iter().map(|key| key.len() + 1).sum();
    assert!(
        written.len() < RECORD_MAX + 2 * names + 256,
        "{}",
        written.len()
    );
    assert!(read(&written).extension[OMITTED].contains("sensorVmWriteAddress"));
}

#[test]
fn own_keys_are_words_of_their_own() {
    assert_eq!(own_key("sensor.boot_ns"), "sensorBootNs");
    assert_eq!(own_key("@timestamp"), "timestamp");
    assert_eq!(own_key("file.path"), "ecsFilePath");
    let own: BTreeSet<&str> = OWN_KEYS.iter().map(String::as_str).collect();
    assert_eq!(own.len(), ALL.len());
    let taken = KEYS.iter().map(|key| key.name).chain([TRUNCATED, OMITTED]);
    for key in taken {
        assert!(!own.contains(key), "{key}");
        assert!(!own.contains(&*format!("{key}Label")), "{key}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_event_is_one_record_with_all_of_its_fields(event in any::event_or_alert(), origin in any::origin()) {
        let fields = event.fields_from(&origin);
        let record = read(&line(&fields).unwrap());
        for (field, value) in fields.entries() {
            let key = &OWN_KEYS[field as usize];
            let own = record.extension.get(key);
            let dictionary = KEYS.iter().filter(|key| key.field == field);
            let mut values = dictionary.filter_map(|key| record.extension.get(key.name)).chain(own);
            let expected = match value {
                Value::Time(ns) if ns % 1_000_000 == 0 => (ns / 1_000_000).to_string(),
                value => escape_line(&text(value).unwrap()).into_owned(),
            };
            let joined = matches!(value, Value::List(_)) && own.is_none();
            let direction = field == Field::NetworkDirection && own.is_none();
            prop_assert!(
                joined || direction || values.any(|value| *value == expected),
                "{key}: {expected:?} in {record:?}"
            );
        }
        prop_assert!(!record.extension.contains_key(TRUNCATED));
    }

    #[test]
    fn any_text_in_any_field_is_one_record(at in 0..ALL.len(), text in "(?s).{0,64}") {
        let mut fields = Fields::default();
        fields.put(ALL[at], text);
        read(&line(&fields).unwrap());
    }
}

#[test]
fn the_documentation_is_current() {
    let mut page = format!(
        "# Events in CEF\n\n`--schema cef`, or `schema = \"cef\"`: one event per line, as ArcSight's Common Event \
         Format, version 0. This page is made from `sensor/src/export/cef/` by `cargo test` (set `UPDATE_DOCS=1`).\n\n\
         `CEF:0|sensor|sensor|VERSION|CLASS|NAME|SEVERITY|EXTENSION`\n\n\
         - VERSION is `agent.version`, at most {NAME_MAX} characters. CLASS is `rule.id` of alerts, `event.dataset` of \
         all else, at most {CLASS_MAX}. NAME is `rule.name` or `event.dataset`, at most {NAME_MAX}.\n\
         - SEVERITY is 1, 3, 5, 8 or 10 for alerts that are informational, low, medium, high or critical, 5 for lost \
         events, and 0 for all others.\n\
         - In the header `\\` and `|` have a `\\` before them, and line ends are spaces. In values `\\` and `=` have one, \
         and line ends are `\\n` and `\\r`. Any other character without a visible shape, or that reorders text, is spelled \
         out: `\\t`, `\\x1b`, `\\u{{202e}}`; backslashes in front of what would read as one of these are doubled before \
         all that, so that different texts stay different.\n\
         - Keys of the table come first, then every other field under a key that is its name in \
         [fields.md](../fields.md) without dots: `sensor.boot_ns` is `sensorBootNs`. (Where the table has that key, it \
         has `ecs` before it: `ecsFilePath`.) Also what a key of the table cannot \
         tell in full, for length or for nanoseconds, stands under its own. Times there are RFC 3339 with nanoseconds, \
         lists and objects JSON.\n\
         - A value of more characters than its key may have (own keys: {VALUE_MAX}) is cut and ends with `{CUT}`, and \
         `{TRUNCATED}` names its key. When a record has {RECORD_MAX} bytes, what does not fit any more is left out, and \
         `{OMITTED}` names its key.\n\n\
         | key | from | most characters | |\n|---|---|---|---|\n"
    );
    for key in KEYS {
        let how = match key.how {
            How::Plain => "",
            How::Millis => "milliseconds since the epoch",
            How::V4 => "when it is IPv4",
            How::V6 => "when it is IPv6",
            How::Direction => "0 for `ingress`, 1 for `egress`",
            How::Joined => "with commas",
        };
        let label = key.label.map(|label| format!("label “{label}” "));
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {} | {}{how} |",
            key.name,
            key.field.definition().name,
            key.max,
            label.unwrap_or_default()
        );
    }
    page::assert_current("formats/cef.md", &page);
}
