//! The object that an event becomes: attributes by path, each put once. What attributes there are
//! is in `map.rs`.

use std::borrow::Cow;

use serde::ser::{SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use crate::event::field::Value;
use crate::export::json::Written;

/// A value of an attribute.
#[derive(Debug)]
pub(super) enum Node<'a> {
    /// Text.
    Text(Cow<'a, str>),
    /// A whole number that fits `long_t`.
    Number(i64),
    /// True or false.
    Bool(bool),
    /// What a field has, as it is.
    Value(&'a Value<'a>),
    /// An object.
    Object(Object<'a>),
    /// A list.
    List(Vec<Node<'a>>),
}

/// Attributes, in the order in which they were put.
#[derive(Debug, Default)]
pub(super) struct Object<'a>(Vec<(&'static str, Node<'a>)>);

impl<'a> Object<'a> {
    /// An object with these attributes.
    pub(super) fn of<const N: usize>(attributes: [(&'static str, Node<'a>); N]) -> Self {
        Self(attributes.into())
    }

    /// Adds an attribute of its own.
    pub(super) fn push(&mut self, name: &'static str, node: Node<'a>) {
        self.0.push((name, node));
    }

    /// Puts an attribute at a path, `a.b[].c`, where `[]` is a list's only object. Objects on the
    /// way are made; false when the attribute is there already.
    pub(super) fn put(&mut self, path: &'static str, node: Node<'a>) -> bool {
        match path.split_once('.') {
            Some((first, rest)) => self.inner(first).is_some_and(|inner| inner.put(rest, node)),
            None if self.get(path).is_some() => false,
            None => {
                self.push(path, node);
                true
            }
        }
    }

    /// Whether there is an object, or an attribute, at a path.
    pub(super) fn has(&self, path: &str) -> bool {
        let Some((first, rest)) = path.split_once('.') else {
            return self.get(path.trim_end_matches("[]")).is_some();
        };
        match self.get(first.trim_end_matches("[]")) {
            Some(Node::Object(inner)) => inner.has(rest),
            Some(Node::List(items)) => {
                matches!(items.first(), Some(Node::Object(inner)) if inner.has(rest))
            }
            _ => false,
        }
    }

    fn get(&self, name: &str) -> Option<&Node<'a>> {
        let (_, node) = self.0.iter().find(|(known, _)| *known == name)?;
        Some(node)
    }

    /// The object of a name, made if need be; `None` when something else has that name.
    fn inner(&mut self, element: &'static str) -> Option<&mut Self> {
        let name = element.trim_end_matches("[]");
        if self.get(name).is_none() {
            let object = Node::Object(Self::default());
            let is_list = name.len() < element.len();
            self.push(
                name,
                if is_list {
                    Node::List(vec![object])
                } else {
                    object
                },
            );
        }
        let (_, node) = self.0.iter_mut().find(|(known, _)| *known == name)?;
        match node {
            Node::Object(inner) => Some(inner),
            Node::List(items) => match items.first_mut() {
                Some(Node::Object(inner)) => Some(inner),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, node) in &self.0 {
            map.serialize_entry(name, node)?;
        }
        map.end()
    }
}

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Value(value) => Written(value).serialize(serializer),
            Self::Object(object) => object.serialize(serializer),
            Self::List(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_put_where_their_paths_say_and_once() {
        let mut tree = Object::default();
        assert!(tree.put("a.b[].c", Node::Number(1)));
        assert!(tree.put("a.b[].d", Node::Bool(true)));
        assert!(tree.put("a.e", Node::Text("x".into())));
        assert!(!tree.put("a.e", Node::Text("y".into())));
        assert!(!tree.put("a.e.f", Node::Number(2)));
        assert!(tree.has("a.b[].c") && tree.has("a.b[]") && !tree.has("a.b[].x") && !tree.has("e"));
        let text = serde_json::to_string(&tree).unwrap();
        assert_eq!(text, r#"{"a":{"b":[{"c":1,"d":true}],"e":"x"}}"#);
    }
}
