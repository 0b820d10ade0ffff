//! A list of payloads as it is published, one JSON object a line. What is made of a payload is
//! not decided here; what a list says that this harness cannot do is said so, not passed over.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;

/// Lines longer than this are no payloads of ours.
const LINE_LIMIT: usize = 1 << 20;

/// Who connects to whom.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The payload connects to the listener.
    Reverse,
    /// The listener connects to the payload.
    Bind,
}

/// One payload.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Payload {
    pub(super) id: String,
    pub(super) kind: Kind,
    /// What goes over the wire, by name.
    pub(super) transport: String,
    /// The program that does it, by the list's name for it.
    pub(super) interpreter: String,
    /// Debian packages; `a|b` is either.
    #[serde(default)]
    pub(super) needs_pkg: Vec<String>,
    /// The shell that the command line is written for.
    #[serde(default = "sh")]
    pub(super) host_shell: String,
    /// What the other side must be, words joined by `-` and `+`.
    pub(super) listener: String,
    /// Whether the shell has a terminal.
    #[serde(default)]
    pub(super) tty: bool,
    /// Whether the output of commands does not come back.
    #[serde(default)]
    pub(super) blind: bool,
    pub(super) command: String,
    /// What stands for `{shell}`, where not any shell will do.
    pub(super) shell_hint: Option<String>,
    /// Parts of the command that are written encoded.
    #[serde(default)]
    pub(super) encode: OneOrMore<Encoded>,
    /// Command lines to run before.
    #[serde(default)]
    pub(super) setup: OneOrMore<String>,
    /// Whether it ends when there is nothing more to read.
    #[serde(default)]
    pub(super) keep_stdin_open: bool,
    /// What was seen when it was tried.
    pub(super) seen: Option<Seen>,
}

/// A text that becomes the value of a placeholder through some layers of encoding.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Encoded {
    pub(super) var: String,
    pub(super) layers: Vec<String>,
    pub(super) inner: String,
}

/// Where the socket was found when it was tried.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Seen {
    pub(super) shape: Option<String>,
}

/// Something that lists may write alone, several times, or not at all.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum OneOrMore<T> {
    One(T),
    More(Vec<T>),
    None(()),
}

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self::None(())
    }
}

impl<T> OneOrMore<T> {
    pub(super) fn as_slice(&self) -> &[T] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::More(more) => more,
            Self::None(()) => &[],
        }
    }
}

impl Payload {
    /// Its class: where the socket was, without remarks.
    pub(super) fn class(&self) -> &str {
        let shape = self.seen.as_ref().and_then(|seen| seen.shape.as_deref());
        let shape = shape.unwrap_or("unknown");
        shape.split_once('(').map_or(shape, |(class, _)| class)
    }
}

fn sh() -> String {
    "sh".to_owned()
}

/// Reads a list.
pub(super) fn read(path: &Path) -> Result<Vec<Payload>> {
    let text = fs::read_to_string(path).with_context(|| {
        format!(
            "cannot read the payloads at {}; say where they are with --corpus",
            path.display()
        )
    })?;
    parse(&text).with_context(|| format!("{} is not a list of payloads", path.display()))
}

fn parse(text: &str) -> Result<Vec<Payload>> {
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            anyhow::ensure!(line.len() < LINE_LIMIT, "line {} is too long", number + 1);
            serde_json::from_str(line).with_context(|| format!("line {}", number + 1))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"{"id":"a","kind":"bind","transport":"tcp","interpreter":"nc",
        "listener":"tcp","command":"nc -l"}"#;

    #[test]
    fn a_payload_without_remarks_is_one() {
        let payload = parse(&LEAST.replace('\n', "")).unwrap().remove(0);
        assert_eq!(payload.kind, Kind::Bind);
        assert_eq!(payload.host_shell, "sh");
        assert!(payload.setup.as_slice().is_empty());
        assert_eq!(payload.class(), "unknown");
    }

    #[test]
    fn a_class_has_no_remark() {
        let line = LEAST.replace('\n', "").replace(
            "\"command\"",
            r#""setup":["a","b"],"seen":{"shape":"command-loop(direct exec)"},"command""#,
        );
        let payload = parse(&line).unwrap().remove(0);
        assert_eq!(payload.class(), "command-loop");
        assert_eq!(payload.setup.as_slice().len(), 2);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let error = parse("\n{}").unwrap_err();
        assert_eq!(error.to_string(), "line 2");
    }
}
