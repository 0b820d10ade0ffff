//! As much of a JSON value as anybody here asks for: texts, numbers and lists up to a size, read
//! without ever building what is larger. For answers of servers, which may hold anything.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// Longest text kept, in bytes; the longest that matter are patterns.
const TEXT_MAX: usize = super::pattern::PATTERN_MAX;
/// Members of a list or an object that are kept.
const MEMBERS_MAX: usize = 64;
/// Lists and objects within each other that are kept.
const DEPTH_MAX: u8 = 4;

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Json {
    /// A text.
    Text(String),
    /// A number that is whole and not negative.
    Number(u64),
    /// True or false.
    Bool(bool),
    /// A list.
    List(Vec<Self>),
    /// An object, in the order it was written.
    Object(Vec<(String, Self)>),
    /// Anything else: null, other numbers, what is too large.
    #[default]
    Other,
}

impl Json {
    /// A member of an object; the last, if it is there twice.
    #[must_use]
    pub fn get(&self, name: &str) -> &Self {
        const NOTHING: &Json = &Json::Other;
        let Self::Object(members) = self else {
            return NOTHING;
        };
        let mut members = members.iter().rev();
        members
            .find(|(key, _)| key == name)
            .map_or(NOTHING, |(_, value)| value)
    }

    /// The text it is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number it is.
    #[must_use]
    pub const fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    /// Whether it says so.
    #[must_use]
    pub const fn is_true(&self) -> bool {
        matches!(self, Self::Bool(true))
    }

    /// Its members, if it is a list.
    #[must_use]
    pub fn list(&self) -> &[Self] {
        match self {
            Self::List(members) => members,
            _ => &[],
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Keep(DEPTH_MAX))
    }
}

/// Keeps so many levels.
#[derive(Clone, Copy)]
struct Keep(u8);

impl<'de> serde::de::DeserializeSeed<'de> for Keep {
    type Value = Json;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Json, D::Error> {
        if self.0 == 0 {
            return IgnoredAny::deserialize(from).map(|_| Json::Other);
        }
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Keep {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(u64::try_from(value).map_or(Json::Other, Json::Number))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Other)
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        let fits = text.len() <= TEXT_MAX;
        Ok(if fits {
            Json::Text(text.to_owned())
        } else {
            Json::Other
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while members.len() < MEMBERS_MAX {
            match list.next_element_seed(Self(self.0 - 1))? {
                Some(member) => members.push(member),
                None => return Ok(Json::List(members)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Json::List(members))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while members.len() < MEMBERS_MAX {
            let Some(key) = object.next_key()? else {
                return Ok(Json::Object(members));
            };
            members.push((key, object.next_value_seed(Self(self.0 - 1))?));
        }
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_kept_and_what_is_larger_is_passed_over() {
        let json: Json = serde_json::from_str(
            r#"{"a":"x","n":7,"n":8,"neg":-1,"b":true,"l":["y",null,1.5],"deep":{"a":{"b":{"c":{"d":1}}}}}"#,
        )
        .unwrap();
        assert_eq!(json.get("a").text(), Some("x"));
        assert_eq!(json.get("n").number(), Some(8));
        assert_eq!(json.get("neg"), &Json::Other);
        assert!(json.get("b").is_true());
        assert_eq!(json.get("l").list().len(), 3);
        let c = json.get("deep").get("a").get("b").get("c");
        assert_eq!(c, &Json::Other);
        let long = format!("[{}1]", "0,".repeat(1000));
        let json: Json = serde_json::from_str(&long).unwrap();
        assert_eq!(json.list().len(), MEMBERS_MAX);
    }
}
