//! A response for people: what became of what on the first line; below it by whom and why, what
//! was done in particular, and how to take it back.

use super::{Style, clock};
use crate::event::Event;
use crate::event::response::{Outcome, Response};
use crate::event::text::escape_terminal;

/// Columns that what belongs to a response is moved in by: those of the time.
const INDENT: &str = "             ";

/// Nanoseconds in a day.
const DAY_NS: u64 = 86_400 * 1_000_000_000;

/// The lines of a response.
pub(super) fn block(event: &Event, response: &Response, style: Style) -> String {
    let clean = |text: &str| escape_terminal(text.as_bytes()).into_owned();
    let mut head = format!(
        "{} RESPONSE {} {} {}",
        clock(event.time.wall_ns, style.utc_offset),
        word(response.outcome),
        response.verb.name(),
        clean(&response.target),
    );
    if let Some(until) = response.until_wall_ns {
        let time = clock(until, style.utc_offset);
        let time = time.split('.').next().unwrap_or_default();
        head.push_str(&format!(" until {time}"));
        let days = until.saturating_sub(event.time.wall_ns) / DAY_NS;
        if days > 0 {
            head.push_str(&format!(", {days} days later"));
        }
    }
    let mut lines = vec![paint(&head, response.outcome, style)];
    let mut add = |label: &str, text: &str| lines.push(format!("{INDENT}{label:<9} {text}"));
    let mut by = format!("{} {}", response.origin.name(), clean(&response.by));
    if let Some(latency) = response.latency_ns {
        by.push_str(&format!(
            ", {:.1} ms after what decided it",
            latency as f64 / 1e6
        ));
    }
    add("by", &by);
    if !response.reason.is_empty() {
        add("because", &clean(&response.reason));
    }
    if !response.detail.is_empty() {
        add("detail", &clean(&response.detail));
    }
    if let Some(undo) = &response.undo {
        add("undo", &clean(undo));
    }
    let further: Vec<_> = [
        response
            .incident
            .as_deref()
            .map(|id| format!("incident {id}")),
        response.alert.as_deref().map(|id| format!("alert {id}")),
    ]
    .into_iter()
    .flatten()
    .collect();
    if !further.is_empty() {
        add("further", &clean(&further.join(" ")));
    }
    lines.join("\n")
}

const fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Done => "done:",
        Outcome::DryRun => "only rehearsed:",
        Outcome::Asked => "waits for a yes:",
        Outcome::Refused => "refused:",
        Outcome::Failed => "FAILED:",
    }
}

fn paint(head: &str, outcome: Outcome, style: Style) -> String {
    if !style.colour {
        return head.to_owned();
    }
    let colour = match outcome {
        Outcome::Done => "1;32",
        Outcome::DryRun => "1;36",
        Outcome::Asked => "1;33",
        Outcome::Refused => "1;35",
        Outcome::Failed => "1;37;41",
    };
    format!("\x1b[{colour}m{head}\x1b[0m")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Action;
    use crate::event::made_up;
    use crate::event::process::ProcessKey;
    use crate::event::response::{Origin, Verb};

    #[test]
    fn a_response_says_first_what_became_of_it_and_last_how_to_take_it_back() {
        let mut response = Response::new(
            Verb::Block,
            "203.0.113.7",
            Origin::Playbook,
            "reverse-shell",
        );
        response.reason = "Reverse shell: \x1b[2Jdash obeys".into();
        response.undo = Some("sensor unblock 203.0.113.7".into());
        response.until_wall_ns = Some(3_600_000_000_000);
        response.latency_ns = Some(3_140_000);
        let action = Action::Response(Box::new(response.clone()));
        let event = made_up::event(made_up::process(ProcessKey::new(7, 0)), 0, action);
        let style = Style {
            colour: false,
            width: 0,
            utc_offset: 0,
        };
        let text = block(&event, &response, style);
        assert!(
            text.starts_with("00:00:00.000 RESPONSE done: block 203.0.113.7 until 01:00:00"),
            "{text}"
        );
        assert!(
            text.contains("by        playbook reverse-shell, 3.1 ms after"),
            "{text}"
        );
        assert!(
            text.ends_with("undo      sensor unblock 203.0.113.7"),
            "{text}"
        );
        assert!(!text.contains('\x1b'));
    }
}
