//! JSON lines, from the field table: nested as ECS wants it, or flat ("native") with the same
//! dotted names. One event is one line, whatever bytes an attacker put into it.

use std::fmt::Write as _;

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::event::field::{Definition, Fields, Value};
use crate::event::text::json_line;

/// Version of ECS that the names are from.
pub const ECS_VERSION: &str = "9.5.0";

type Row<'f, 'a> = (&'static Definition, &'f Value<'a>);

/// An event as one line of nested JSON, without the newline.
///
/// # Errors
/// Only if the serializer fails, which no event can make it do.
pub fn ecs(fields: &Fields<'_>) -> serde_json::Result<String> {
    let rows: Vec<Row<'_, '_>> = fields.iter().collect();
    json_line(&Nested {
        rows: &rows,
        depth: 0,
    })
}

/// An event as one line of flat JSON, without the newline.
///
/// # Errors
/// Only if the serializer fails, which no event can make it do.
pub fn native(fields: &Fields<'_>) -> serde_json::Result<String> {
    let rows: Vec<Row<'_, '_>> = fields.iter().collect();
    json_line(&Flat(&rows))
}

struct Flat<'r, 'f, 'a>(&'r [Row<'f, 'a>]);

impl Serialize for Flat<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (definition, value) in self.0 {
            map.serialize_entry(definition.name, &Written(value))?;
        }
        map.end()
    }
}

/// Rows in the order of their names, which all agree in the first `depth` elements.
struct Nested<'r, 'f, 'a> {
    rows: &'r [Row<'f, 'a>],
    depth: usize,
}

impl Serialize for Nested<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.depth == 0 {
            map.serialize_entry("ecs", &Version)?;
        }
        let mut rows = self.rows;
        while let Some((definition, value)) = rows.first() {
            let (element, is_leaf) = definition.elements.at(self.depth);
            if is_leaf {
                map.serialize_entry(element, &Written(value))?;
                rows = rows.get(1..).unwrap_or_default();
                continue;
            }
            let same = rows
                .iter()
                .take_while(|(other, _)| other.elements.at(self.depth).0 == element)
                .count();
            let (inner, rest) = rows.split_at(same);
            map.serialize_entry(
                element,
                &Nested {
                    rows: inner,
                    depth: self.depth + 1,
                },
            )?;
            rows = rest;
        }
        map.end()
    }
}

struct Version;

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("version", ECS_VERSION)?;
        map.end()
    }
}

pub(super) struct Written<'v, 'a>(pub(super) &'v Value<'a>);

impl Serialize for Written<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Text(text) => serializer.serialize_str(text),
            Value::Unsigned(number) => serializer.serialize_u64(*number),
            Value::Signed(number) => serializer.serialize_i64(*number),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Ip(address) => serializer.collect_str(address),
            Value::Time(wall_ns) => serializer.serialize_str(&rfc3339(*wall_ns)),
            Value::List(values) => {
                let mut seq = serializer.serialize_seq(Some(values.len()))?;
                for value in values {
                    seq.serialize_element(&Written(value))?;
                }
                seq.end()
            }
            Value::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, &Written(value))?;
                }
                map.end()
            }
        }
    }
}

/// A time in UTC with nanoseconds, as RFC 3339 has it.
#[must_use]
pub fn rfc3339(wall_ns: u64) -> String {
    let seconds = wall_ns / 1_000_000_000;
    let (year, month, day) = civil(seconds / 86_400);
    let of_day = seconds % 86_400;
    let mut text = String::with_capacity(30);
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:09}Z",
        of_day / 3_600,
        of_day / 60 % 60,
        of_day % 60,
        wall_ns % 1_000_000_000
    );
    text
}

/// Date of a day counted from 1970-01-01, in the Gregorian calendar. Years are taken to begin
/// in March, so that the leap day is the last of its year.
const fn civil(days: u64) -> (u64, u64, u64) {
    let from_era = days + 719_468; // days from 0000-03-01 to 1970-01-01
    let era = from_era / 146_097; // days in 400 years
    let day_of_era = from_era % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153; // months from March
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + (month <= 2) as u64;
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            rfc3339(951_782_400_000_000_001),
            "2000-02-29T00:00:00.000000001Z"
        );
        assert_eq!(
            rfc3339(1_735_689_599_999_999_999),
            "2024-12-31T23:59:59.999999999Z"
        );
        assert_eq!(
            rfc3339(4_107_542_399_000_000_000),
            "2100-02-28T23:59:59.000000000Z"
        );
    }
}
