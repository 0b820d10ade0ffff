//! ATT&CK in OCSF's form: one object for each technique or part of one, one for each tactic. An
//! alert does not say which tactic a technique is used for, so neither does this.

use super::tree::{Node, Object};
use crate::event::field::{Field, Fields, Value};

/// The version that ids are of.
const VERSION: &str = "17.0";

/// Ids and, where every one has one, names.
const LISTS: [(Field, Field); 3] = [
    (Field::ThreatTacticId, Field::ThreatTacticName),
    (Field::ThreatTechniqueId, Field::ThreatTechniqueName),
    (Field::ThreatSubtechniqueId, Field::ThreatSubtechniqueName),
];

/// Whether all that a field has is in [`attacks`].
pub(super) fn is_told(field: Field, fields: &Fields<'_>) -> bool {
    let of = |(ids, names): &(Field, Field)| {
        field == *ids || (field == *names && are_paired(*ids, *names, fields))
    };
    LISTS.iter().any(of)
}

/// The objects of `finding_info.attacks`.
pub(super) fn attacks<'a>(fields: &'a Fields<'a>) -> Vec<Node<'a>> {
    let [tactics, techniques, parts] = LISTS.map(|(ids, names)| named(ids, names, fields));
    let mut attacks = Vec::new();
    for (id, name) in parts.iter().copied() {
        let whole = id.split('.').next().unwrap_or_default();
        let known = techniques.iter().find(|(id, _)| *id == whole);
        let whole_name = known.and_then(|(_, name)| *name);
        attacks.push(attack([
            ("technique", entity(whole, whole_name)),
            ("sub_technique", entity(id, name)),
        ]));
    }
    let has_parts = |id: &str| {
        parts
            .iter()
            .any(|(part, _)| part.split('.').next() == Some(id))
    };
    let alone = techniques.iter().copied().filter(|(id, _)| !has_parts(id));
    for (id, name) in alone {
        attacks.push(attack([("technique", entity(id, name))]));
    }
    for (id, name) in tactics {
        attacks.push(attack([("tactic", entity(id, name))]));
    }
    attacks
}

fn attack<'a, const N: usize>(attributes: [(&'static str, Node<'a>); N]) -> Node<'a> {
    let mut attack = Object::of(attributes);
    attack.push("version", Node::Text(VERSION.into()));
    Node::Object(attack)
}

fn entity<'a>(id: &'a str, name: Option<&'a str>) -> Node<'a> {
    let mut entity = Object::of([("uid", Node::Text(id.into()))]);
    if let Some(name) = name {
        entity.push("name", Node::Text(name.into()));
    }
    Node::Object(entity)
}

fn named<'a>(ids: Field, names: Field, fields: &'a Fields<'a>) -> Vec<(&'a str, Option<&'a str>)> {
    let paired = are_paired(ids, names, fields);
    let mut names = texts(names, fields).filter(|_| paired);
    texts(ids, fields).map(|id| (id, names.next())).collect()
}

/// Only techniques that we know have names, so that there may be less names than ids.
fn are_paired(ids: Field, names: Field, fields: &Fields<'_>) -> bool {
    texts(ids, fields).count() == texts(names, fields).count()
}

fn texts<'a>(field: Field, fields: &'a Fields<'a>) -> impl Iterator<Item = &'a str> {
    let values = match fields.get(field) {
        Some(Value::List(values)) => values.as_slice(),
        _ => &[],
    };
    values.iter().filter_map(|value| match value {
        Value::Text(text) => Some(&**text),
        _ => None,
    })
}

/// What becomes of them, for the documentation.
#[cfg(test)]
pub(super) const WORDS: &str = "\n`finding_info.attacks` has an object for each of \
    `threat.technique.subtechnique.id` with the technique that it is a part of, for each other of \
    `threat.technique.id`, and for each of `threat.tactic.id`: an alert does not say which technique \
    serves which tactic. Names are there when all of a list are known.\n";
