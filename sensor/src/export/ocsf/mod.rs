//! The Open Cybersecurity Schema Framework, version 1.9.0-dev: one event as one line of JSON of the
//! class that fits best. What OCSF has no place for is in `unmapped`, under the names that fields
//! have in `docs/fields.md`; nothing is left out. Made from tables: `map.rs` has what fields become,
//! `kind.rs` what kinds of event become, `class.rs` the classes.

mod attack;
#[cfg(test)]
pub(in crate::export) mod check;
mod class;
mod kind;
mod map;
#[cfg(test)]
mod page;
mod row;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::LazyLock;

use crate::event::field::{ALL, Field, Fields, Value};
use crate::event::text::json_line;
use class::OTHER;
use kind::{Besides, Kind, Said, When};
use row::{Kept, Row};
use tree::{Node, Object};

/// Profiles that every event may make use of.
const PROFILES: [&str; 3] = ["host", "container", "linux/linux_users"];
/// The profile of what lists of hostile things say.
const OSINT: &str = "osint";
/// The extension that has a profile of those (`extensions/linux/extension.json`).
const EXTENSION: [(&str, &str); 3] = [("uid", "1"), ("name", "linux"), ("version", class::VERSION)];

/// A kind with its rows by field.
struct Plan {
    kind: &'static Kind,
    /// Indexed by field.
    rows: Vec<Vec<&'static Row>>,
}

impl Plan {
    fn of(kind: &'static Kind) -> Self {
        let mut rows = vec![Vec::new(); ALL.len()];
        for row in kind.tables.iter().copied().flatten() {
            if let Some(rows) = rows.get_mut(row.field as usize) {
                rows.push(row);
            }
        }
        Self { kind, rows }
    }

    /// What an event's kind becomes.
    fn for_event(fields: &Fields<'_>) -> Option<&'static Self> {
        static PLANS: LazyLock<Vec<Plan>> = LazyLock::new(|| {
            let kinds = kind::KINDS.iter().chain([&kind::ANY]);
            kinds.map(Plan::of).collect()
        });
        let dataset = match fields.get(Field::EventDataset) {
            Some(Value::Text(dataset)) => &**dataset,
            _ => "",
        };
        let plan = PLANS.iter().find(|plan| plan.kind.dataset == dataset);
        plan.or(PLANS.last())
    }

    fn rows(&self, field: Field) -> &[&'static Row] {
        self.rows.get(field as usize).map_or(&[], Vec::as_slice)
    }
}

/// An event as one line of JSON, without the newline.
///
/// # Errors
/// Only if the serializer fails, which no event can make it do.
pub fn line(fields: &Fields<'_>) -> serde_json::Result<String> {
    json_line(&object(fields))
}

fn object<'a>(fields: &'a Fields<'a>) -> Object<'a> {
    let mut tree = Object::default();
    let mut unmapped = Object::default();
    let Some(plan) = Plan::for_event(fields) else {
        return tree;
    };
    classify(plan.kind, fields, &mut tree);
    for (field, value) in fields.entries() {
        let mut kept = false;
        for row in plan.rows(field) {
            kept |= row.place(value, fields, &mut tree) == Kept::All;
        }
        kept |= attack::is_told(field, fields);
        if !kept {
            unmapped.push(field.definition().name, Node::Value(value));
        }
    }
    let attacks = attack::attacks(fields);
    if !attacks.is_empty() {
        tree.put("finding_info.attacks", Node::List(attacks));
    }
    for besides in plan.kind.besides.iter().chain(kind::OF_ALL) {
        say(besides, &mut tree);
    }
    declare(&mut tree);
    tree.push("unmapped", Node::Object(unmapped));
    tree
}

/// What it is, in OCSF's numbers.
fn classify<'a>(kind: &'static Kind, fields: &'a Fields<'a>, tree: &mut Object<'a>) {
    let class = kind.class;
    let activity = kind.activity.of(fields);
    tree.push("class_uid", Node::Number(class.uid.into()));
    tree.push("class_name", Node::Text(class.name.into()));
    tree.push("category_uid", Node::Number(class.category.into()));
    tree.push("category_name", Node::Text(class.category_name.into()));
    tree.push("activity_id", Node::Number(activity.into()));
    let own_word = match fields.get(Field::EventAction) {
        Some(Value::Text(word)) if activity == OTHER => Some(&**word),
        _ => None,
    };
    let name = own_word
        .or(class.activity_name(activity))
        .unwrap_or("Other");
    tree.push("activity_name", Node::Text(name.into()));
    tree.push("type_uid", Node::Number(class.type_uid(activity)));
}

fn say(besides: &Besides, tree: &mut Object<'_>) {
    let is_due = match besides.when {
        When::Always => true,
        When::Within => {
            let within = besides.path.rsplit_once('.');
            within.is_some_and(|(object, _)| tree.has(object))
        }
        When::Without(other) => !tree.has(other),
    };
    if is_due {
        let node = match besides.said {
            Said::Text(text) => Node::Text(text.into()),
            Said::Number(number) => Node::Number(number),
            Said::Yes => Node::Bool(true),
        };
        tree.put(besides.path, node);
    }
}

/// Says which profiles and extensions are made use of.
fn declare(tree: &mut Object<'_>) {
    let osint = tree.has("osint").then_some(OSINT);
    let profiles = PROFILES.into_iter().chain(osint);
    let text = |text: &'static str| Node::Text(text.into());
    tree.put(
        "metadata.profiles",
        Node::List(profiles.map(text).collect()),
    );
    let extension = Object::of(EXTENSION.map(|(name, value)| (name, text(value))));
    tree.put(
        "metadata.extensions",
        Node::List(vec![Node::Object(extension)]),
    );
}
