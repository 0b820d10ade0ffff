//! Which hook serves which event in each machine: what `sensor doctor --json` says there, side by
//! side. Reads that report; what it means is documented in `docs/hooks.md`.

use std::collections::BTreeMap;

use serde_json::Value;

/// The step that prints the report.
pub(super) const STEP: &str = "/usr/bin/sensor\ndoctor\n--json\n\n";
/// How the machine announces it.
pub(super) const PROGRAM: &str = "/usr/bin/sensor";

/// What serves each service in one machine, in the order of the report.
#[derive(Default)]
pub(super) struct Hooks(Vec<(String, &'static str)>);

/// Marks of the table.
const PREFERRED: &str = "●";
const FALLBACK: &str = "○";
const NONE: &str = "-";

impl Hooks {
    /// Reads a report; nothing when it is none.
    pub(super) fn of(report: &str) -> Self {
        let report: Value = serde_json::from_str(report).unwrap_or_default();
        let services = report.get("services").and_then(Value::as_array);
        let rows = services.into_iter().flatten().filter_map(|service| {
            let name = service.get("name")?.as_str()?.to_owned();
            let hooks = service.get("hooks")?.as_array()?;
            let mark = match service.get("fallback")?.as_bool()? {
                _ if hooks.is_empty() => NONE,
                true => FALLBACK,
                false => PREFERRED,
            };
            Some((name, mark))
        });
        Self(rows.collect())
    }
}

/// Prints a column per machine that reported, a row per service.
pub(super) fn print(machines: &[(&str, &Hooks)]) {
    let machines: Vec<_> = machines
        .iter()
        .filter(|(_, hooks)| !hooks.0.is_empty())
        .map(|(title, hooks)| (*title, hooks.0.iter().cloned().collect::<BTreeMap<_, _>>()))
        .collect();
    let mut services: Vec<&String> = machines
        .iter()
        .flat_map(|(_, hooks)| hooks.keys())
        .collect();
    services.sort();
    services.dedup();
    if services.is_empty() {
        return;
    }
    print!("\n{:<24}", "events");
    for (title, _) in &machines {
        print!(" {title:>8}");
    }
    println!();
    for service in services {
        print!("{service:<24}");
        for (_, hooks) in &machines {
            print!(" {:>8}", hooks.get(service).copied().unwrap_or(NONE));
        }
        println!();
    }
    println!("{PREFERRED} preferred hook   {FALLBACK} fallback   {NONE} none (docs/hooks.md)");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_read_and_garbage_is_none() {
        let report = r#"{"services": [
            {"name": "exec", "hooks": ["tp_btf/x"], "fallback": false},
            {"name": "memfd", "hooks": ["tracepoint/x"], "fallback": true},
            {"name": "module", "hooks": [], "fallback": false}]}"#;
        let marks: Vec<_> = Hooks::of(report).0.into_iter().map(|row| row.1).collect();
        assert_eq!(marks, [PREFERRED, FALLBACK, NONE]);
        assert!(Hooks::of("Segmentation fault").0.is_empty());
    }
}
