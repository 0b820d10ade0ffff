//! `docs/sigma.md`, made from the table of fields. Nothing is decided here.

use super::super::kind::{Kind, Shape};
use super::{Answer, ROWS, Source, source};
use crate::event::field::Field;

/// What rules about alerts ask for.
const ALERTS: &str = "What a behaviour or another rule found: `rule.id`, `rule.name`, \
    `rule.ruleset`, `sensor.alert.severity`, `sensor.alert.confidence`, `threat.technique.id`, \
    `file.path`, `message` and the fields of its process. What a rule concludes from an alert is \
    not looked at again.\n\n";

/// The documentation page, in Markdown.
#[must_use]
pub fn documentation() -> String {
    let mut text = String::from(
        "# Sigma rules\n\nWhich events a rule's `logsource` means, and what its fields are \
         answered by. Beside the names here, every name of [fields.md](fields.md) can be used in \
         every log source but auditd's, as far as the event has it; `product: linux, service: \
         sensor` has those only, for every event there is. This page is made from \
         `sensor/src/detect/sigma/fields.rs` by `cargo test` (set `UPDATE_DOCS=1`).\n",
    );
    for shape in Shape::ALL {
        let kinds: Vec<Kind> = Kind::ALL
            .iter()
            .copied()
            .filter(|kind| kind.shapes().contains(shape))
            .collect();
        text.push_str(&format!("\n## {}\n\n", shape.name()));
        if *shape == Shape::Native {
            text.push_str("Every event, alerts included, by its own fields.\n");
            continue;
        }
        if *shape == Shape::Alert {
            text.push_str(ALERTS);
        }
        let names: Vec<String> = kinds
            .iter()
            .map(|kind| format!("`{}`", kind.name()))
            .collect();
        text.push_str(&format!("Events: {}.\n\n", names.join(", ")));
        text.push_str("| field of the rule | answered by |\n|---|---|\n");
        for row in ROWS.iter().filter(|row| row.shapes.contains(shape)) {
            if kinds.iter().any(|kind| source(*kind, row.source).is_some()) {
                text.push_str(&format!("| `{}` | {} |\n", row.name, meaning(row.source)));
            }
        }
        if *shape == Shape::AuditExecve {
            text.push_str("| `a0` … `a31` | one of `process.args` |\n");
        }
    }
    text
}

fn meaning(source: Source) -> String {
    let names = |fields: &[Field]| -> String {
        let names: Vec<String> = fields
            .iter()
            .map(|field| format!("`{}`", field.definition().name))
            .collect();
        names.join(" or ")
    };
    match source {
        Source::Fields(fields) => names(fields),
        Source::Own(Answer::CommandLine) => "`process.args`, joined with spaces, unquoted".into(),
        Source::Own(Answer::ParentCommandLine) => {
            "arguments of the parent, joined with spaces, unquoted".into()
        }
        Source::Own(Answer::Hashes) => "`SHA256=` and `process.hash.sha256`".into(),
        Source::Own(Answer::NameType) => {
            "`CREATE` for a new name, `DELETE` for a removed one, else `NORMAL`".into()
        }
        Source::Own(Answer::Words(words)) => format!("always `{}`", words.join("`, `")),
        Source::Own(other) => format!("{other:?}"),
        Source::SystemCall => "names of the system calls that lead to the event".into(),
        Source::Initiated => "`true` for connects and sends, `false` for accepts".into(),
    }
}
