//! One line of recorded JSON as fields and values: flat, or nested as in ECS. Looks names up in
//! the taxonomy and checks types; what the fields mean together is not known here.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ParseError;
use super::time;
use crate::event::field::{ALL, Field, Type};

/// Where a nested line says which version of ECS it is in: a word about the line, not of the event.
const SCHEMA_VERSION: &str = "ecs.version";

static BY_NAME: LazyLock<HashMap<&'static str, Field>> = LazyLock::new(|| {
    ALL.iter()
        .map(|field| (field.definition().name, *field))
        .collect()
});

/// A value as JSON has it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Raw<'a> {
    Text(Cow<'a, str>),
    Unsigned(u64),
    Signed(i64),
    Bool(bool),
    List(Vec<Raw<'a>>),
    Object(Vec<(Cow<'a, str>, Raw<'a>)>),
    /// Null, or a number with a fraction: no field has either.
    Other,
}

/// The fields of one line.
#[derive(Debug, Default)]
pub(super) struct Row<'a> {
    /// Ordered by field, each once.
    values: Vec<(Field, Raw<'a>)>,
    /// Names that are not in the taxonomy.
    pub(super) unknown: Unknown,
}

/// Names that nobody knows.
#[derive(Debug, Default)]
pub(super) struct Unknown {
    /// How many there are.
    pub(super) count: u64,
    /// The first of them.
    pub(super) first: Option<String>,
}

impl Unknown {
    fn meet(&mut self, name: &str) {
        self.count += 1;
        self.first.get_or_insert_with(|| name.to_owned());
    }
}

impl<'a> Row<'a> {
    /// Reads a line.
    pub(super) fn read(line: &'a [u8]) -> Result<Self, ParseError> {
        let mut row = Self {
            values: Vec::with_capacity(96),
            unknown: Unknown::default(),
        };
        let mut json = serde_json::Deserializer::from_slice(line);
        let whole = Members {
            prefix: "",
            row: &mut row,
        };
        json.deserialize_map(whole)?;
        json.end()?;
        row.values.sort_by_key(|(field, _)| *field);
        let mut pairs = row.values.iter().zip(row.values.iter().skip(1));
        match pairs.find(|((a, _), (b, _))| a == b) {
            Some(((field, _), _)) => Err(ParseError::Twice(field.definition().name)),
            None => Ok(row),
        }
    }

    /// The fields and their values, ordered by field.
    pub(super) fn into_values(self) -> impl Iterator<Item = (Field, Raw<'a>)> {
        self.values.into_iter()
    }

    /// Whether the line has a field.
    pub(super) fn has(&self, field: Field) -> bool {
        self.raw(field).is_some()
    }

    /// A field that may be missing.
    pub(super) fn find<'r, T: Read<'r>>(&'r self, field: Field) -> Result<Option<T>, ParseError> {
        let Some(raw) = self.raw(field) else {
            return Ok(None);
        };
        match T::read(raw) {
            Some(value) => Ok(Some(value)),
            None => Err(ParseError::Wrong {
                field: field.definition().name,
                expected: T::IS,
            }),
        }
    }

    /// A field that must be there.
    pub(super) fn get<'r, T: Read<'r>>(&'r self, field: Field) -> Result<T, ParseError> {
        self.find(field)?
            .ok_or(ParseError::Missing(field.definition().name))
    }

    /// A list of texts, empty when there is none.
    pub(super) fn words(&self, field: Field) -> Result<Vec<&str>, ParseError> {
        Ok(self.find(field)?.unwrap_or_default())
    }

    /// A list of texts to keep.
    pub(super) fn texts(&self, field: Field) -> Result<Box<[Box<str>]>, ParseError> {
        Ok(self.words(field)?.into_iter().map(Box::from).collect())
    }

    fn raw(&self, field: Field) -> Option<&Raw<'a>> {
        let at = self
            .values
            .binary_search_by_key(&field, |(known, _)| *known)
            .ok()?;
        self.values.get(at).map(|(_, raw)| raw)
    }
}

/// A type that a value can be read as.
pub(super) trait Read<'r>: Sized {
    /// What it is, for people.
    const IS: &'static str;
    /// Reads it; `None` when it is something else.
    fn read(raw: &'r Raw<'_>) -> Option<Self>;
}

impl<'r> Read<'r> for &'r str {
    const IS: &'static str = "text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl<'r> Read<'r> for Box<str> {
    const IS: &'static str = "text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        <&str>::read(raw).map(Self::from)
    }
}

impl<'r> Read<'r> for std::sync::Arc<str> {
    const IS: &'static str = "text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        <&str>::read(raw).map(Self::from)
    }
}

impl<'r> Read<'r> for bool {
    const IS: &'static str = "true or false";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Bool(value) => Some(*value),
            _ => None,
        }
    }
}

macro_rules! numbers {
    ($($number:ty: $is:literal;)*) => {$(
        impl<'r> Read<'r> for $number {
            const IS: &'static str = $is;
            fn read(raw: &'r Raw<'_>) -> Option<Self> {
                match raw {
                    Raw::Unsigned(number) => Self::try_from(*number).ok(),
                    Raw::Signed(number) => Self::try_from(*number).ok(),
                    _ => None,
                }
            }
        }
    )*};
}

numbers! {
    u8: "a whole number from 0 to 255";
    u16: "a whole number from 0 to 65535";
    u32: "a whole number of 32 bits";
    u64: "a whole number of 64 bits";
    i32: "a whole number of 32 bits with a sign";
}

impl<'r> Read<'r> for IpAddr {
    const IS: &'static str = "an IP address";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        <&str>::read(raw)?.parse().ok()
    }
}

impl<'r> Read<'r> for Vec<&'r str> {
    const IS: &'static str = "a list of texts";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        match raw {
            Raw::List(values) => values.iter().map(<&str>::read).collect(),
            _ => None,
        }
    }
}

/// Texts by name, in the order of the line.
pub(super) struct Labels(pub(super) Box<[(Box<str>, Box<str>)]>);

impl<'r> Read<'r> for Labels {
    const IS: &'static str = Type::Labels.words();
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        let Raw::Object(members) = raw else {
            return None;
        };
        let label = |(name, raw): &'r (Cow<'_, str>, Raw<'_>)| {
            Some((Box::from(&**name), <Box<str>>::read(raw)?))
        };
        members.iter().map(label).collect::<Option<_>>().map(Self)
    }
}

/// Objects of a list, each with its members.
pub(super) struct Objects<'r>(pub(super) Vec<Object<'r>>);

/// Members of an object that is a value of its own.
pub(super) struct Object<'r>(&'r [(Cow<'r, str>, Raw<'r>)]);

impl<'r> Object<'r> {
    /// A member, read as a type.
    pub(super) fn get<T: Read<'r>>(&self, name: &str) -> Option<T> {
        let (_, raw) = self.0.iter().find(|(known, _)| known == name)?;
        T::read(raw)
    }
}

impl<'r> Read<'r> for Objects<'r> {
    const IS: &'static str = "a list of objects";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        let Raw::List(values) = raw else { return None };
        let object = |value: &'r Raw<'_>| match value {
            Raw::Object(members) => Some(Object(members)),
            _ => None,
        };
        values.iter().map(object).collect::<Option<_>>().map(Self)
    }
}

/// A number that is written as text.
pub(super) struct Digits<T>(pub(super) T);

impl<'r, T: FromStr> Read<'r> for Digits<T> {
    const IS: &'static str = "a number, as text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        <&str>::read(raw)?.parse().ok().map(Self)
    }
}

/// Permissions, octal.
pub(super) struct Octal(pub(super) u32);

impl<'r> Read<'r> for Octal {
    const IS: &'static str = "permissions in octal digits, as text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        let bits = u32::from_str_radix(<&str>::read(raw)?, 8).ok()?;
        (bits <= 0o7777).then_some(Self(bits))
    }
}

/// A number with `0x` before it.
pub(super) struct Hex(pub(super) u64);

impl<'r> Read<'r> for Hex {
    const IS: &'static str = "a hexadecimal number, as text";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        let digits = <&str>::read(raw)?.strip_prefix("0x")?;
        u64::from_str_radix(digits, 16).ok().map(Self)
    }
}

/// A device, `major << 20 | minor`.
pub(super) struct Device(pub(super) u32);

impl<'r> Read<'r> for Device {
    const IS: &'static str = "a device, major:minor";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        let (major, minor) = <&str>::read(raw)?.split_once(':')?;
        let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        (major < 1 << 12 && minor < 1 << 20).then_some(Self(major << 20 | minor))
    }
}

/// Nanoseconds since the epoch.
pub(super) struct Wall(pub(super) u64);

impl<'r> Read<'r> for Wall {
    const IS: &'static str = "a time in UTC, as RFC 3339 has it";
    fn read(raw: &'r Raw<'_>) -> Option<Self> {
        time::wall_ns(<&str>::read(raw)?).map(Self)
    }
}

/// Text of the line itself where it needs no unescaping.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// Reads the members of an object into the row; what they stand below is their prefix.
struct Members<'r, 'a> {
    prefix: &'r str,
    row: &'r mut Row<'a>,
}

impl<'a> DeserializeSeed<'a> for Members<'_, 'a> {
    type Value = ();
    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

/// What is not an object has a name that nobody knows.
macro_rules! counts_as_unknown {
    ($($visit:ident: $value:ty;)*) => {$(
        fn $visit<E>(self, _: $value) -> Result<(), E> {
            self.row.unknown.meet(self.prefix);
            Ok(())
        }
    )*};
}

impl<'a> Visitor<'a> for Members<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the fields of an event")
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Key(key)) = map.next_key()? {
            let name = if self.prefix.is_empty() {
                key
            } else {
                format!("{}.{key}", self.prefix).into()
            };
            match BY_NAME.get(&*name) {
                Some(field) => self.row.values.push((*field, map.next_value()?)),
                None if name == SCHEMA_VERSION => {
                    map.next_value::<IgnoredAny>()?;
                }
                None => map.next_value_seed(Members {
                    prefix: &name,
                    row: self.row,
                })?,
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<(), S::Error> {
        self.row.unknown.meet(self.prefix);
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.row.unknown.meet(self.prefix);
        Ok(())
    }

    counts_as_unknown! {
        visit_bool: bool;
        visit_u64: u64;
        visit_i64: i64;
        visit_f64: f64;
        visit_str: &str;
    }
}

impl<'a> Deserialize<'a> for Raw<'a> {
    fn deserialize<D: Deserializer<'a>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Values)
    }
}

struct Values;

impl<'a> Visitor<'a> for Values {
    type Value = Raw<'a>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'a str) -> Result<Raw<'a>, E> {
        Ok(Raw::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw<'a>, E> {
        Ok(Raw::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Raw<'a>, E> {
        Ok(Raw::Unsigned(number))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw<'a>, E> {
        Ok(Raw::Signed(number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Raw<'a>, E> {
        Ok(Raw::Other)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw<'a>, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Raw<'a>, E> {
        Ok(Raw::Other)
    }

    fn visit_seq<S: SeqAccess<'a>>(self, mut seq: S) -> Result<Raw<'a>, S::Error> {
        let mut values = Vec::new();
        while let Some(value) = seq.next_element()? {
            values.push(value);
        }
        Ok(Raw::List(values))
    }

    fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Raw<'a>, M::Error> {
        let mut members = Vec::new();
        while let Some((Key(name), value)) = map.next_entry()? {
            members.push((name, value));
        }
        Ok(Raw::Object(members))
    }
}
