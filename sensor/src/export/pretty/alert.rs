//! An alert for people, who may be tired: what, how bad and how sure on the first line; below
//! it what happened in a sentence, how it hangs together, who it was, and where to look further.

use super::{Style, clock, cut};
use crate::event::Event;
use crate::event::alert::{Alert, Severity};
use crate::event::text::escape_terminal;

/// Columns that what belongs to an alert is moved in by: those of the time.
const INDENT: &str = "             ";

/// Characters of a command line that are shown.
const COMMAND_WIDTH: usize = 160;

/// The lines of an alert.
pub(super) fn block(event: &Event, alert: &Alert, style: Style) -> String {
    let clean = |text: &str| escape_terminal(text.as_bytes()).into_owned();
    let techniques: Vec<_> = alert
        .rule
        .techniques
        .iter()
        .map(|technique| &*technique.id)
        .collect();
    let head = format!(
        "{} ALERT {} {}, {} % sure {}",
        clock(event.time.wall_ns, style.utc_offset),
        alert.severity.name(),
        clean(&alert.rule.name),
        alert.confidence,
        techniques.join(" "),
    );
    let mut lines = vec![paint(head.trim_end(), alert.severity, style)];
    let mut add = |label: &str, text: &str| lines.push(format!("{INDENT}{label:<9} {text}"));
    add("what", &clean(&alert.message));
    if let Some(path) = &alert.path {
        add("path", &clean(path));
    }
    if let Some(process) = &event.process {
        add("process", &clean(&who(event, process)));
    }
    if !alert.ancestry.is_empty() {
        add("started", &clean(&alert.ancestry.join(" ⇐ ")));
    }
    if let Some(file) = &alert.file {
        add("file", &clean(file));
    }
    if let Some(hash) = alert
        .content
        .as_ref()
        .and_then(|content| content.sha256.as_deref())
    {
        add("sha256", hash);
    }
    if let Some(indicator) = &alert.indicator {
        add("listed", &clean(&indicator.to_string()));
    }
    if alert.repeats > 0 {
        add("again", &format!("{} more since", alert.repeats));
    }
    let mut further = alert
        .incident
        .as_deref()
        .map(|incident| format!("incident {incident}"))
        .unwrap_or_default();
    for id in &alert.evidence {
        further.push_str(&format!(" {id}"));
    }
    if !further.is_empty() {
        add("further", further.trim_start());
    }
    lines.join("\n")
}

fn who(event: &Event, process: &crate::event::process::Process) -> String {
    let user = process
        .names
        .user
        .as_deref()
        .map_or_else(|| process.ids.euid.to_string(), str::to_owned);
    let command = process
        .program
        .as_deref()
        .and_then(crate::event::process::Program::command_line)
        .unwrap_or_else(|| process.name().to_owned());
    let command = cut(&command, COMMAND_WIDTH);
    let place = process
        .home
        .container
        .as_deref()
        .map(|container| format!(", container {container}"))
        .or_else(|| {
            let service = process.home.service.as_deref()?;
            Some(format!(", service {service}"))
        })
        .unwrap_or_default();
    format!(
        "{command} (pid {}, user {user}{place}, event {})",
        process.key.pid, event.id
    )
}

fn paint(head: &str, severity: Severity, style: Style) -> String {
    if !style.colour {
        return head.to_owned();
    }
    let colour = match severity {
        Severity::Critical => "1;37;41",
        Severity::High => "1;31",
        Severity::Medium => "1;33",
        Severity::Low | Severity::Informational => "1;36",
    };
    format!("\x1b[{colour}m{head}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::alert::{Rule, Ruleset};
    use crate::event::attack::Technique;
    use crate::event::{Action, EventId, Stamp};
    use std::sync::Arc;

    #[test]
    fn an_alert_says_first_how_bad_it_is_and_hides_no_escape_sequence() {
        let alert = Alert {
            rule: Arc::new(Rule {
                id: "x".into(),
                name: "Reverse shell".into(),
                ruleset: Ruleset::Behaviour,
                authors: Box::default(),
                techniques: [Technique::new("T1059.004")].into(),
                tactics: Box::default(),
            }),
            severity: Severity::Critical,
            confidence: 97,
            message: "\x1b[2Jsh obeys".to_owned(),
            path: None,
            ancestry: vec!["sh[2]".to_owned(), "nc[1]".to_owned()],
            peer: None,
            file: None,
            content: None,
            indicator: None,
            evidence: Vec::new(),
            incident: None,
            repeats: 0,
            latency_ns: 0,
        };
        let event = Event {
            id: EventId {
                run: 1,
                sequence: 2,
            },
            cpu: 0,
            time: Stamp {
                boot_ns: 0,
                wall_ns: 0,
            },
            process: None,
            action: Action::Alert(Box::new(alert.clone())),
        };
        let style = Style {
            colour: false,
            width: 0,
            utc_offset: 0,
        };
        let text = block(&event, &alert, style);
        assert!(text.starts_with("00:00:00.000 ALERT critical Reverse shell, 97 % sure T1059.004"));
        assert!(text.contains("started   sh[2] ⇐ nc[1]"));
        assert!(!text.contains('\x1b'));
    }
}
