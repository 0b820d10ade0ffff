//! One line per event for people: time, kind, user, pid, the process at its depth in the
//! tree, and what there is to say. Everything an attacker can choose is escaped here.

mod alert;
mod response;

use std::fmt::Write as _;
use std::os::fd::AsFd;

use crate::event::text::escape_terminal;
use crate::event::{Action, Event};

/// Narrowest and default width of a terminal, in columns.
const WIDTH_MIN: usize = 60;
/// Columns used when the width is unknown.
const WIDTH_UNKNOWN: usize = 160;
/// Deepest indentation of a process.
const INDENT_MAX: u16 = 6;
/// Width of the process column.
const PROCESS_WIDTH: usize = 22;

/// How lines are made.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// With ANSI colours.
    pub colour: bool,
    /// Cut lines at this many columns, 0 for never.
    pub width: usize,
    /// Offset of local time from UTC, in seconds.
    pub utc_offset: i64,
}

impl Style {
    /// What suits a stream: colour and width only on a terminal, and no colour when the
    /// environment asks for none (`NO_COLOR`, no-color.org).
    #[must_use]
    pub fn for_stream(stream: impl AsFd) -> Self {
        use std::os::fd::AsRawFd as _;
        let fd = stream.as_fd();
        let terminal = std::io::IsTerminal::is_terminal(&fd);
        let no_colour = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        // SAFETY: `size` is plain data the call fills in; on failure it stays zero.
        let columns = unsafe {
            let mut size: libc::winsize = std::mem::zeroed();
            libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size);
            usize::from(size.ws_col)
        };
        let width = match (terminal, columns) {
            (false, _) => 0,
            (true, 0) => WIDTH_UNKNOWN,
            (true, columns) => columns.max(WIDTH_MIN),
        };
        Self {
            colour: terminal && !no_colour,
            width,
            utc_offset: local_offset(),
        }
    }
}

/// Seconds that local time is ahead of UTC.
fn local_offset() -> i64 {
    // SAFETY: both arguments are valid; `localtime_r` fills the structure or returns null.
    unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut broken_down: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const now, &raw mut broken_down).is_null() {
            return 0;
        }
        broken_down.tm_gmtoff
    }
}

/// The line above the events.
#[must_use]
pub fn header(style: Style) -> String {
    let line = format!(
        "{:<12} {:<16} {:<10} {:>7} {:<PROCESS_WIDTH$} {}",
        "TIME", "EVENT", "USER", "PID", "PROCESS", "DETAIL"
    );
    if style.colour {
        format!("\x1b[1m{line}\x1b[0m")
    } else {
        line
    }
}

/// One event as one line, an alert or a response as a few, without the last newline.
#[must_use]
pub fn line(event: &Event, style: Style) -> String {
    if let Action::Alert(raised) = &event.action {
        return alert::block(event, raised, style);
    }
    if let Action::Response(done) = &event.action {
        return response::block(event, done, style);
    }
    let label = event.action.label();
    let mut user = String::new();
    let mut pid = String::new();
    let mut process = String::new();
    if let Some(who) = &event.process {
        pid = who.key.pid.to_string();
        user = who.names.user.as_deref().map_or_else(
            || who.ids.euid.to_string(),
            |name| escape_terminal(name.as_bytes()).into_owned(),
        );
        let indent = usize::from(who.depth.min(INDENT_MAX));
        process = format!("{:indent$}{}", "", escape_terminal(who.name().as_bytes()));
    }
    let summary = event.action.summary();
    let detail = escape_terminal(summary.as_bytes());

    let mut text = clock(event.time.wall_ns, style.utc_offset);
    let _ = write!(
        text,
        " {:<16} {:<10} {pid:>7} {:<PROCESS_WIDTH$} {detail}",
        label.name,
        cut(&user, 10),
        cut(&process, PROCESS_WIDTH),
    );
    if style.width > 0 {
        text = cut(&text, style.width).into_owned();
    }
    if style.colour {
        paint(&text, &event.action)
    } else {
        text.trim_end().to_owned()
    }
}

/// Time of day with milliseconds.
fn clock(wall_ns: u64, utc_offset: i64) -> String {
    let ms = i64::try_from(wall_ns / 1_000_000).unwrap_or(0) + utc_offset * 1_000;
    let of_day = ms.rem_euclid(86_400_000);
    format!(
        "{:02}:{:02}:{:02}.{:03}",
        of_day / 3_600_000,
        of_day / 60_000 % 60,
        of_day / 1_000 % 60,
        of_day % 1_000
    )
}

/// At most `width` characters, the last one an ellipsis when something was cut.
fn cut(text: &str, width: usize) -> std::borrow::Cow<'_, str> {
    match text.char_indices().nth(width) {
        None => text.into(),
        Some(_) => text
            .chars()
            .take(width.saturating_sub(1))
            .chain(['…'])
            .collect::<String>()
            .into(),
    }
}

/// Time dim, the kind in the colour of its family.
fn paint(line: &str, action: &Action) -> String {
    const TIME: usize = 12;
    const KIND: usize = TIME + 1 + 16;
    let colour = match action.label().name {
        "process.exec" => "32",
        "process.exit" | "process.fork" => "2",
        name if name.starts_with("network.") => "36",
        name if name.starts_with("file.") => "33",
        name if name.starts_with("sensor.") => "1;35",
        name if name.starts_with("response.") => "1;33",
        _ => "31",
    };
    let (time, rest) = line.split_at_checked(TIME).unwrap_or((line, ""));
    let (kind, rest) = rest.split_at_checked(KIND - TIME).unwrap_or((rest, ""));
    format!(
        "\x1b[2m{time}\x1b[0m\x1b[{colour}m{kind}\x1b[0m{}",
        rest.trim_end()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_text_is_cut_with_a_mark() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }

    #[test]
    fn midnight_is_midnight() {
        assert_eq!(clock(86_400_000_000_000, 0), "00:00:00.000");
        assert_eq!(clock(0, -3_600), "23:00:00.000");
    }
}
