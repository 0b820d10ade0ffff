//! Plain lists: one indicator on a line, whatever is behind it; comments; files of hosts as ad
//! blockers use them. Takes any bytes, a line at a time.

use std::io::{self, BufRead, Read as _};

use super::subject::{Subject, TEXT_MAX, Unfit};

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An indicator.
    Indicator(Subject),
    /// One that is refused, or no indicator at all.
    Unfit(Unfit),
}

/// Addresses that files of hosts send names to, so that they are not reached.
const NOWHERE: &[&str] = &["0.0.0.0", "127.0.0.1", "::", "::1"];

/// Reads a list, and gives what each line says to `take`; lines that say nothing are passed over.
///
/// # Errors
/// When it cannot be read on.
pub fn read(mut from: impl BufRead, take: &mut dyn FnMut(Line)) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        let longest = TEXT_MAX as u64 + 1;
        if from.by_ref().take(longest).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.len() > TEXT_MAX && line.last() != Some(&b'\n') {
            pass_over(&mut from)?;
            take(Line::Unfit(Unfit::Unknown));
            continue;
        }
        match std::str::from_utf8(&line) {
            Ok(text) => say(text, take),
            Err(_) => take(Line::Unfit(Unfit::Unknown)),
        }
    }
}

/// The rest of a line, without keeping it.
fn pass_over(from: &mut impl BufRead) -> io::Result<()> {
    loop {
        let seen = from.fill_buf()?;
        let end = seen.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(seen.len(), |end| end + 1);
        from.consume(length);
        if end.is_some() || length == 0 {
            return Ok(());
        }
    }
}

fn say(line: &str, take: &mut dyn FnMut(Line)) {
    // A byte order mark, as some editors put one in front.
    let line = line.trim_start_matches('\u{feff}').trim();
    let is_comment = ["#", ";", "//", "!"]
        .iter()
        .any(|mark| line.starts_with(mark));
    if line.is_empty() || is_comment {
        return;
    }
    let is_gap = |c: char| c.is_whitespace() || matches!(c, ',' | ';' | '|');
    let mut words = line
        .split(is_gap)
        .map(|word| word.trim_matches('"'))
        .filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default();
    if NOWHERE.contains(&first) {
        let mut names = words.take_while(|word| !word.starts_with('#')).peekable();
        if names.peek().is_some() {
            // The machine's own names, which such files begin with, are no indicators.
            let names = names.filter_map(|name| Subject::parse(name).ok());
            return names.for_each(|name| take(Line::Indicator(name)));
        }
    }
    take(Subject::parse(first).map_or_else(Line::Unfit, Line::Indicator));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<String> {
        let mut found = Vec::new();
        read(text, &mut |line| {
            found.push(match line {
                Line::Indicator(subject) => subject.to_string(),
                Line::Unfit(error) => format!("{error:?}"),
            });
        })
        .unwrap();
        found
    }

    #[test]
    fn lists_of_several_makers_are_read() {
        let text = "\u{feff}# comment\n; comment\n\n192.0.2.1\r\n198.51.100.0/24 ; SBL1\n\
                    \"192.0.2.2\",443,online\n192.0.2.3|x\nevil.example # why\n\
                    0.0.0.0 ads.example tracker.example # both\n127.0.0.1 localhost\n127.0.0.1\n\
                    hxxp://a[.]example/b,2026\n<html>\n";
        assert_eq!(
            all(text.as_bytes()),
            [
                "192.0.2.1",
                "198.51.100.0/24",
                "192.0.2.2",
                "192.0.2.3",
                "evil.example",
                "ads.example",
                "tracker.example",
                "127.0.0.1",
                "a.example",
                "Unknown",
            ]
        );
        assert_eq!(all(b"\xff\xfe\n192.0.2.1"), ["Unknown", "192.0.2.1"]);
    }

    #[test]
    fn a_line_without_end_is_one_line_that_says_nothing() {
        let mut text = vec![b'a'; 10 * TEXT_MAX];
        text.extend(b"\n192.0.2.1\n");
        assert_eq!(all(&text), ["Unknown", "192.0.2.1"]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let _ = all(&bytes);
        }

        #[test]
        fn each_address_of_a_list_is_found(addresses: Vec<std::net::IpAddr>) {
            let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
            let expected: Vec<_> = addresses.iter().map(|a| a.to_canonical().to_string()).collect();
            prop_assert_eq!(all(text.as_bytes()), expected);
        }
    }
}
