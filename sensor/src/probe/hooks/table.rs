//! The services as a table for people, in Markdown. No policy here.

use super::{SERVICES, Service, Way};

/// The page `docs/hooks.md`.
#[must_use]
pub fn documentation() -> String {
    let mut text = String::from(
        "# Hooks\n\nWhat serves which events, best way first; the sensor takes the first way that the running \
         kernel accepts as a whole, and `sensor doctor` shows which one that is. `cargo xtask vm --all` \
         ends with a table of what was taken on each kernel. This page is made from \
         `sensor/src/probe/hooks.rs` by `cargo test` (set `UPDATE_DOCS=1`).\n\n\
         | service | events | hooks | not seen this way |\n|---|---|---|---|\n",
    );
    for service in SERVICES {
        for (at, way) in service.ways.iter().enumerate() {
            text.push_str(&row(service, at, way));
        }
    }
    text
}

fn row(service: &Service, at: usize, way: &Way) -> String {
    let hooks: Vec<String> = way
        .hooks
        .iter()
        .map(|hook| {
            let optional = if hook.optional {
                " (where there is one)"
            } else {
                ""
            };
            format!("`{}`{optional}", hook.attach.describe())
        })
        .collect();
    let (name, kinds) = if at == 0 {
        let kinds: Vec<&str> = service
            .kinds
            .iter()
            .map(|kind| sensor_common::kind::name(*kind))
            .collect();
        (service.name.to_owned(), kinds.join(", "))
    } else {
        (format!("– way {}", at + 1), String::new())
    };
    format!(
        "| {name} | {kinds} | {} | {} |\n",
        hooks.join(", "),
        if way.misses.is_empty() {
            "–"
        } else {
            way.misses
        }
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page;

    #[test]
    fn the_documentation_is_current() {
        page::assert_current("hooks.md", &documentation());
    }
}
