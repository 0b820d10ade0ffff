//! A row of a table: which attribute a field becomes, and how its value is written there. The
//! tables are in `map.rs`.

use std::borrow::Cow;

use super::tree::{Node, Object};
use crate::event::field::{Field, Fields, Value};
use crate::export::json::rfc3339;

/// A word of ours, OCSF's number for it, and what OCSF calls that.
pub(super) type Word = (&'static str, i64, &'static str);

/// OCSF's number for what it has no number for; the text beside it says what.
const OTHER: i64 = 99;

/// How a value is written.
#[derive(Clone, Copy, Debug)]
pub(super) enum How {
    /// As text, numbers in digits.
    Text,
    /// As text, where another field is there as well.
    TextBeside(Field),
    /// What follows the last `/`.
    Base,
    /// As a whole number, also if it is digits.
    Number,
    /// A time in milliseconds since the epoch; what is finer is kept in `unmapped` as well.
    Millis,
    /// A time as text, with nanoseconds.
    Nanos,
    /// By a table, with OCSF's name for it beside; 99 and the word itself for any other.
    Words(&'static [Word]),
    /// A list of numbers by a table; others go without.
    Numbers(&'static [Word]),
    /// As a list of texts.
    Texts,
    /// The first of a list of texts.
    First,
    /// SHA-256, in a list of hashes.
    Hash,
    /// `NAME=value`, each as an object with name and value.
    Variables,
    /// Names and values, each as such an object.
    Pairs,
    /// Ids of events, each as an object with that id.
    Uids,
    /// `id path`, each as a process.
    Ancestors,
    /// `name[pid]`, each as a process, where the process is there that they are the ancestors of.
    Family,
    /// Records of a DNS answer.
    Answers,
}

impl How {
    /// What is done, for the documentation; nothing to say where it is as one would think.
    #[cfg(test)]
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Text | Self::Number | Self::Texts | Self::Nanos => "",
            Self::TextBeside(_) => "when the id of it is known",
            Self::Base => "what follows the last `/`",
            Self::Millis => "milliseconds; finer times are in `unmapped` as well",
            Self::Words(_) => "by number, and OCSF's name beside it; 99 and our word for any other",
            Self::Numbers(_) => "by number, where OCSF has one",
            Self::First => "the first",
            Self::Hash => "SHA-256",
            Self::Variables | Self::Pairs => "name and value each",
            Self::Uids => "`uid` each",
            Self::Ancestors => "`uid` and `path` each",
            Self::Family => "`name` and `pid` each",
            Self::Answers => "`class`, `hostname`, `rdata`, `ttl` and `type` each",
        }
    }
}

/// What a field becomes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The field.
    pub(super) field: Field,
    /// Path of the attribute; see [`Object::put`].
    pub(super) path: &'static str,
    /// How its value is written.
    pub(super) how: How,
    /// Path of what says in words what a number says; for [`How::Words`].
    pub(super) sibling: Option<&'static str>,
}

/// Whether a value is all in the attribute that it became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is.
    All,
    /// Something of it is.
    Some,
    /// It could not be written there.
    None,
}

impl Row {
    /// Writes a value where the row says.
    pub(super) fn place<'a>(
        &self,
        value: &'a Value<'a>,
        fields: &'a Fields<'a>,
        tree: &mut Object<'a>,
    ) -> Kept {
        if let (How::Words(table), Value::Text(word)) = (self.how, value) {
            return self.place_word(table, word, tree);
        }
        let Some(node) = self.node(value, fields) else {
            return Kept::None;
        };
        if !tree.put(self.path, node) {
            return Kept::None;
        }
        match (self.how, value) {
            (How::Millis, Value::Time(ns)) if ns % 1_000_000 != 0 => Kept::Some,
            (How::Base | How::First | How::Numbers(_), _) => Kept::Some,
            _ => Kept::All,
        }
    }

    fn place_word<'a>(&self, table: &'static [Word], word: &'a str, tree: &mut Object<'a>) -> Kept {
        let known = table.iter().find(|(known, ..)| *known == word);
        let (number, name) = match known {
            Some((_, number, name)) => (*number, Cow::Borrowed(*name)),
            None => (OTHER, Cow::Borrowed(word)),
        };
        if !tree.put(self.path, Node::Number(number)) {
            return Kept::None;
        }
        if let Some(sibling) = self.sibling {
            tree.put(sibling, Node::Text(name));
        }
        Kept::All
    }

    fn node<'a>(&self, value: &'a Value<'a>, fields: &'a Fields<'a>) -> Option<Node<'a>> {
        match self.how {
            How::Text => text(value).map(Node::Text),
            How::TextBeside(field) => fields.get(field).and(text(value)).map(Node::Text),
            How::Base => {
                let path = as_str(value)?;
                let name = path.rsplit('/').next().filter(|name| !name.is_empty());
                Some(borrowed(name.unwrap_or(path)))
            }
            How::Number => number(value).map(Node::Number),
            How::Millis => match value {
                Value::Time(ns) => i64::try_from(ns / 1_000_000).ok().map(Node::Number),
                _ => None,
            },
            How::Nanos => match value {
                Value::Time(ns) => Some(Node::Text(rfc3339(*ns).into())),
                _ => None,
            },
            How::Words(_) => None,
            How::Numbers(table) => {
                let number = |word: &str| {
                    let (_, number, _) = table.iter().find(|(known, ..)| *known == word)?;
                    Some(Node::Number(*number))
                };
                Some(Node::List(texts(value)?.filter_map(number).collect()))
            }
            How::Texts => Some(Node::List(texts(value)?.map(borrowed).collect())),
            How::First => Some(borrowed(texts(value)?.next()?)),
            How::Hash => Some(Node::List(vec![hash(text(value)?)])),
            How::Variables => {
                let pair = |text: &'a str| {
                    let (name, value) = text.split_once('=').unwrap_or((text, ""));
                    pair(name, value)
                };
                Some(Node::List(texts(value)?.map(pair).collect()))
            }
            How::Pairs => match value {
                Value::Object(members) => members
                    .iter()
                    .map(|(name, value)| Some(pair(name, as_str(value)?)))
                    .collect::<Option<_>>()
                    .map(Node::List),
                _ => None,
            },
            How::Uids => {
                let event = |uid: &'a str| Node::Object(Object::of([("uid", borrowed(uid))]));
                Some(Node::List(texts(value)?.map(event).collect()))
            }
            How::Ancestors => Some(Node::List(texts(value)?.map(ancestor).collect())),
            How::Family => {
                fields.get(Field::ProcessPid)?;
                Some(Node::List(texts(value)?.map(relative).collect()))
            }
            How::Answers => match value {
                Value::List(answers) => answers
                    .iter()
                    .map(answer)
                    .collect::<Option<_>>()
                    .map(Node::List),
                _ => None,
            },
        }
    }
}

fn borrowed(text: &str) -> Node<'_> {
    Node::Text(Cow::Borrowed(text))
}

fn text<'a>(value: &'a Value<'a>) -> Option<Cow<'a, str>> {
    match value {
        Value::Text(text) => Some(Cow::Borrowed(&**text)),
        Value::Unsigned(number) => Some(number.to_string().into()),
        Value::Signed(number) => Some(number.to_string().into()),
        Value::Ip(address) => Some(address.to_string().into()),
        _ => None,
    }
}

fn as_str<'a>(value: &'a Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn number(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Unsigned(number) => i64::try_from(*number).ok(),
        Value::Signed(number) => Some(*number),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn texts<'a>(value: &'a Value<'a>) -> Option<impl Iterator<Item = &'a str>> {
    match value {
        Value::List(values) => Some(values.iter().filter_map(as_str)),
        _ => None,
    }
}

fn hash(value: Cow<'_, str>) -> Node<'_> {
    Node::Object(Object::of([
        ("algorithm_id", Node::Number(3)),
        ("algorithm", borrowed("SHA-256")),
        ("value", Node::Text(value)),
    ]))
}

fn pair<'a>(name: &'a str, value: &'a str) -> Node<'a> {
    Node::Object(Object::of([
        ("name", borrowed(name)),
        ("value", borrowed(value)),
    ]))
}

fn ancestor(text: &str) -> Node<'_> {
    let (uid, path) = text.split_once(' ').unwrap_or((text, ""));
    Node::Object(Object::of([
        ("uid", borrowed(uid)),
        ("path", borrowed(path)),
    ]))
}

fn relative(text: &str) -> Node<'_> {
    let mut process = Object::default();
    let parts = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['));
    match parts.and_then(|(name, pid)| Some((name, pid.parse::<u32>().ok()?))) {
        Some((name, pid)) => {
            process.push("name", borrowed(name));
            process.push("pid", Node::Number(pid.into()));
        }
        None => process.push("name", borrowed(text)),
    }
    Node::Object(process)
}

/// A record of the answer section, whose members ECS names.
fn answer<'a>(value: &'a Value<'a>) -> Option<Node<'a>> {
    let Value::Object(members) = value else {
        return None;
    };
    let mut answer = Object::default();
    for (name, value) in members {
        match &**name {
            "class" => answer.push("class", Node::Text(text(value)?)),
            "data" => answer.push("rdata", Node::Text(text(value)?)),
            "name" => answer.push("hostname", Node::Text(text(value)?)),
            "ttl" => answer.push("ttl", Node::Number(number(value)?)),
            "type" => answer.push("type", Node::Text(text(value)?)),
            _ => return None,
        }
    }
    Some(Node::Object(answer))
}
