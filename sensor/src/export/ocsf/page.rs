//! `docs/formats/ocsf.md`, made from the tables. Tests only: they keep it current.

use std::fmt::Write as _;

use super::attack;
use super::class::{OTHER, VERSION};
use super::kind::{Activity, KINDS, Kind};
use super::map::COMMON;
use super::row::Row;

/// The page.
pub(super) fn text() -> String {
    let mut text = format!(
        "# Events in OCSF\n\n`--schema ocsf`, or `schema = \"ocsf\"`: one event per line, in version {VERSION} of the \
         [Open Cybersecurity Schema Framework](https://schema.ocsf.io), with the profiles host, container, \
         linux/linux_users and, where a list of indicators has named something, osint. Tests hold every kind of \
         event against the schema's own files. This page is made from `sensor/src/export/ocsf/` by `cargo test` \
         (set `UPDATE_DOCS=1`).\n\n\
         - `type_uid` is `class_uid` × 100 + `activity_id`. `severity_id` is 1 for all but alerts, which have their \
         own, and losses, which have 3.\n\
         - `time` is in milliseconds, as OCSF has it; `metadata.original_time` is the same time in nanoseconds. Any \
         other time that is finer than a millisecond is in `unmapped` as well.\n\
         - `metadata.uid` is unique for each event and stays the same when it is delivered again.\n\
         - Fields without a row below, and values that do not fit where a row would put them, are in `unmapped`, \
         under their names in [fields.md](../fields.md). Nothing is left out.\n\
         - Where the schema wants a name and there is none, it is `unknown`.\n\n\
         ## Kinds of event\n\n| `metadata.event_code` | class | activity |\n|---|---|---|\n",
    );
    for kind in KINDS {
        let class = kind.class;
        let _ = writeln!(
            text,
            "| `{}` | {} {} | {} |",
            kind.dataset,
            class.uid,
            class.name,
            activity(kind)
        );
    }
    text.push_str("\n## All events\n\n");
    table(COMMON.iter(), &mut text);
    let mut classes: Vec<_> = KINDS.iter().map(|kind| kind.class).collect();
    classes.dedup_by_key(|class| class.uid);
    classes.sort_by_key(|class| class.uid);
    classes.dedup_by_key(|class| class.uid);
    for class in classes {
        let _ = write!(text, "\n## {} {}\n\n", class.uid, class.name);
        let kinds = KINDS.iter().filter(|kind| kind.class.uid == class.uid);
        let mut rows: Vec<&Row> = Vec::new();
        for row in kinds
            .flat_map(|kind| kind.tables.iter().skip(1))
            .copied()
            .flatten()
        {
            if !rows
                .iter()
                .any(|known| (known.field, known.path) == (row.field, row.path))
            {
                rows.push(row);
            }
        }
        table(rows.into_iter(), &mut text);
        if class.uid == super::class::FINDING.uid {
            text.push_str(attack::WORDS);
        }
    }
    text
}

fn table<'r>(rows: impl Iterator<Item = &'r Row>, text: &mut String) {
    text.push_str("| attribute | from | |\n|---|---|---|\n");
    for row in rows {
        let beside = row.sibling.map(|path| format!(", `{path}`"));
        let _ = writeln!(
            text,
            "| `{}`{} | `{}` | {} |",
            row.path,
            beside.unwrap_or_default(),
            row.field.definition().name,
            row.how.words()
        );
    }
}

fn activity(kind: &Kind) -> String {
    let name = |id: u8| match kind.class.activity_name(id) {
        Some(name) => format!("{id} {name}"),
        None if id == OTHER => format!("{id}, `activity_name` from `event.action`"),
        None => id.to_string(),
    };
    match kind.activity {
        Activity::Always(id) => name(id),
        Activity::By(field, table) => {
            let field = field.definition().name;
            let of = |(word, id): &(&str, u8)| match *word {
                "" => format!("{} otherwise", name(*id)),
                word => format!("{} when `{field}` is `{word}`", name(*id)),
            };
            table.iter().map(of).collect::<Vec<_>>().join(", ")
        }
        Activity::Connect => format!(
            "{}; {} when refused, {} when it failed otherwise",
            name(1),
            name(5),
            name(4)
        ),
    }
}
