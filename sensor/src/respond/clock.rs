//! Times as people write them (`90s`, `15m`, `2h`, `7d`), and the two clocks that responses are
//! timed by: the programs count from boot, people and events by the wall.

use std::time::Duration;

use thiserror::Error;

pub use crate::clock::{boot_ns, wall_ns};

/// Longest time that can be asked for. What should hold longer has no end.
pub const SPAN_MAX: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Units, largest first, and their seconds.
const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Why a text is no time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SpanError {
    /// It does not say one.
    #[error("{0:?} is no time; write it like 90s, 15m, 2h, 7d or 1h30m")]
    Unreadable(Box<str>),
    /// It is none, or beyond all sense.
    #[error("{0:?} is out of range: 1s to 3650d; leave it out for no end")]
    OutOfRange(Box<str>),
}

/// Reads a time: numbers with units, larger units first.
///
/// # Errors
/// When it is none, or not from one second to [`SPAN_MAX`].
pub fn parse_span(text: &str) -> Result<Duration, SpanError> {
    let unreadable = || SpanError::Unreadable(text.chars().take(64).collect());
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut seconds = 0_u64;
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit())
            .ok_or_else(unreadable)?;
        let (digits, after) = rest.split_at(end);
        let unit = after.chars().next().ok_or_else(unreadable)?;
        let (_, each) = units
            .find(|(name, _)| *name == unit)
            .ok_or_else(unreadable)?;
        // Digits alone fail only for being too many.
        let number = match digits {
            "" => return Err(unreadable()),
            digits => digits.parse::<u64>().unwrap_or(u64::MAX),
        };
        seconds = seconds.saturating_add(number.saturating_mul(*each));
        rest = after.get(unit.len_utf8()..).unwrap_or_default();
    }
    match Duration::from_secs(seconds) {
        _ if text.is_empty() => Err(unreadable()),
        span if span.is_zero() || span > SPAN_MAX => {
            Err(SpanError::OutOfRange(text.chars().take(64).collect()))
        }
        span => Ok(span),
    }
}

/// A time as [`parse_span`] reads it, without fractions of a second.
#[must_use]
pub fn show_span(span: Duration) -> String {
    let mut seconds = span.as_secs();
    let mut text = String::new();
    for (name, each) in UNITS {
        if seconds >= each {
            text.push_str(&format!("{}{name}", seconds / each));
            seconds %= each;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

/// Minute of the day, local time; in UTC where nobody knows the local time.
#[must_use]
pub fn minute_of_day() -> u16 {
    // SAFETY: both arguments are valid; `localtime_r` fills the structure or returns null, and
    // zeros are valid then.
    let now = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut broken_down: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&raw const now, &raw mut broken_down).is_null() {
            libc::gmtime_r(&raw const now, &raw mut broken_down);
        }
        broken_down
    };
    u16::try_from(now.tm_hour * 60 + now.tm_min).unwrap_or(0)
}

/// A time in nanoseconds, as far as they go.
#[must_use]
pub fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, seconds) in [
            ("1s", 1),
            ("90s", 90),
            ("15m", 900),
            ("2h", 7_200),
            ("7d", 604_800),
            ("1h30m", 5_400),
        ] {
            assert_eq!(parse_span(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused_with_an_example() {
        for text in [
            "", "soon", "5", "-5s", "5 s", "5w", "s", "30m1h", "1h1h", "٣s", "5s ",
        ] {
            let error = parse_span(text).unwrap_err();
            assert!(error.to_string().contains("15m"), "{text}: {error}");
        }
        for text in ["0s", "99999d", "99999999999999999999999d"] {
            let error = parse_span(text).unwrap_err();
            assert!(matches!(error, SpanError::OutOfRange(_)), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(seconds in 1..=SPAN_MAX.as_secs()) {
            let span = Duration::from_secs(seconds);
            prop_assert_eq!(parse_span(&show_span(span)), Ok(span));
        }

        #[test]
        fn arbitrary_texts_never_panic(text: String) {
            let _ = parse_span(&text);
        }
    }
}
