//! What hostile bytes look like to people and to machines: names, arguments and paths come
//! from whoever runs the process, and must neither move the cursor, nor reorder a line, nor
//! end a JSON record. No wrapping, colour or width: that is the terminal's room.
//!
//! Four forms, none of which loses a difference between two inputs:
//! - [`escape_terminal`] for a screen: everything without a visible shape is spelled out;
//! - [`escape_line`] for a format with a form of its own for line ends;
//! - [`lossy`] for a field: text stays as it is, so that rules match it; only bytes that are
//!   not UTF-8 are spelled out;
//! - [`json_line`] for a line: field contents unchanged, but written with JSON's own `\u`
//!   escapes wherever a terminal or a line splitter could be misled.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io;

use serde::Serialize;

/// How one form spells out what it cannot show. Types, so that each compiles to its own loop.
trait Form {
    /// Whether a character is spelled out.
    fn hides(c: char) -> bool;
    /// Whether text right behind a literal backslash would make it read as an escape.
    fn misleads(rest: &[u8]) -> bool;
}

struct Terminal;

impl Form for Terminal {
    fn hides(c: char) -> bool {
        is_hidden(c)
    }
    fn misleads(rest: &[u8]) -> bool {
        matches!(rest.first(), Some(b'n' | b'r' | b't' | b'x' | b'u'))
    }
}

struct Line;

impl Form for Line {
    fn hides(c: char) -> bool {
        is_hidden(c) && !matches!(c, '\n' | '\r')
    }
    fn misleads(rest: &[u8]) -> bool {
        matches!(rest.first(), Some(b't' | b'x' | b'u'))
    }
}

struct Field;

impl Form for Field {
    fn hides(_: char) -> bool {
        false
    }
    fn misleads(rest: &[u8]) -> bool {
        matches!(
            rest,
            [
                b'x',
                b'8' | b'9' | b'a'..=b'f',
                b'0'..=b'9' | b'a'..=b'f',
                ..,
            ]
        )
    }
}

/// Text for a screen: printable characters as they are; `\n`, `\r`, `\t`; `\x1b` for other
/// ASCII controls and for bytes that are not UTF-8; `\u{202e}` for C1 controls and for
/// characters that reorder text or have no width.
///
/// A literal backslash stays single unless it would read as one of these; then the
/// backslashes before it are doubled, so that different inputs never look the same.
pub fn escape_terminal(bytes: &[u8]) -> Cow<'_, str> {
    escape::<Terminal>(bytes)
}

/// Text for a record whose format has a form of its own for line ends: as for a screen, but line
/// ends stay.
pub fn escape_line(text: &str) -> Cow<'_, str> {
    escape::<Line>(text.as_bytes())
}

/// Text for a field: valid UTF-8 as it is, controls included (the JSON writer escapes them),
/// so that rules see what the kernel saw. A byte that is not UTF-8 becomes `\xNN` (`80` to
/// `ff`, lower case); literal backslashes are doubled only in front of such a form, so that
/// different bytes stay different.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    escape::<Field>(bytes)
}

/// Arguments as a person would type them in bash: quoted where a shell would read them
/// otherwise, `$'…'` where they hold something without a visible shape.
pub fn shell_quote_args<A: AsRef<[u8]>>(args: &[A]) -> String {
    let mut line = String::new();
    for (index, arg) in args.iter().enumerate() {
        if index > 0 {
            line.push(' ');
        }
        quote(arg.as_ref(), &mut line);
    }
    line
}

/// One JSON record on one line, without the newline: besides what JSON demands, also escapes
/// DEL, C1 controls, Unicode line ends and characters that reorder text or have no width.
///
/// # Errors
/// When the value cannot be serialized (a map with keys that are not text).
pub fn json_line<T: Serialize + ?Sized>(value: &T) -> serde_json::Result<String> {
    let mut bytes = Vec::with_capacity(512);
    let mut writer = serde_json::Serializer::with_formatter(&mut bytes, OneLine);
    value.serialize(&mut writer)?;
    // The serializer writes str pieces and ASCII only.
    String::from_utf8(bytes).map_err(serde::ser::Error::custom)
}

/// Whether a character is a control, ends a line, reorders text, or has no visible width:
/// the categories Cc, Cf, Zl and Zp, the fillers, and the variation selectors.
pub fn is_hidden(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    matches!(u32::from(c),
        0x80..=0x9f | 0xad | 0x34f | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x890..=0x891 | 0x8e2
        | 0x115f..=0x1160 | 0x17b4..=0x17b5 | 0x180b..=0x180f | 0x200b..=0x200f | 0x2028..=0x202e
        | 0x2060..=0x206f | 0x3164 | 0xfe00..=0xfe0f | 0xfeff | 0xffa0 | 0xfff0..=0xfffb
        | 0x110bd | 0x110cd | 0x13430..=0x1343f | 0x1bca0..=0x1bca3 | 0x1d173..=0x1d17a
        | 0xe0000..=0xe0fff)
}

fn escape<F: Form>(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text.contains('\\')
        && !text.contains(F::hides)
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    for chunk in bytes.utf8_chunks() {
        let mut rest = chunk.valid();
        while let Some(c) = rest.chars().next() {
            if c == '\\' {
                let after = rest.trim_start_matches('\\');
                let run = rest.len() - after.len();
                let escape_follows = match after.chars().next() {
                    Some(next) => F::hides(next) || F::misleads(after.as_bytes()),
                    None => !chunk.invalid().is_empty(),
                };
                out.extend(std::iter::repeat_n(
                    '\\',
                    if escape_follows { 2 * run } else { run },
                ));
                rest = after;
                continue;
            }
            if F::hides(c) {
                spell(c, &mut out)
            } else {
                out.push(c)
            }
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
        spell_bytes(chunk.invalid(), &mut out);
    }
    Cow::Owned(out)
}

fn spell(c: char, out: &mut String) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii() => spell_bytes(&[c as u8], out),
        c => {
            // Writing to a String cannot fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
    }
}

fn spell_bytes(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "\\x{byte:02x}");
    }
}

fn quote(arg: &[u8], out: &mut String) {
    match std::str::from_utf8(arg) {
        Ok(text) if !text.is_empty() && text.chars().all(is_plain) => out.push_str(text),
        Ok(text) if !text.contains(is_hidden) => {
            out.push('\'');
            out.push_str(&text.replace('\'', "'\\''"));
            out.push('\'');
        }
        _ => {
            out.push_str("$'");
            for chunk in arg.utf8_chunks() {
                for c in chunk.valid().chars() {
                    match c {
                        '\'' | '\\' => out.extend(['\\', c]),
                        c if !is_hidden(c) => out.push(c),
                        c if c.is_ascii() => spell(c, out),
                        // bash has no braces here: 4 or 8 digits.
                        c => {
                            let code = u32::from(c);
                            let _ = if code < 0x1_0000 {
                                write!(out, "\\u{code:04x}")
                            } else {
                                write!(out, "\\U{code:08x}")
                            };
                        }
                    }
                }
                spell_bytes(chunk.invalid(), out);
            }
            out.push('\'');
        }
    }
}

/// Means nothing to any shell, wherever it stands in a word.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || "_@%+=:,./-".contains(c)
        || (!c.is_ascii() && c.is_alphanumeric() && !is_hidden(c))
}

/// serde_json's compact form with more escapes inside strings.
struct OneLine;

impl serde_json::ser::Formatter for OneLine {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        // Nearly always; a scan by vectors, not by characters.
        if fragment.is_ascii() && !fragment.as_bytes().contains(&0x7f) {
            return writer.write_all(fragment.as_bytes());
        }
        while let Some(at) = rest.find(is_hidden) {
            let (shown, from) = rest.split_at(at);
            writer.write_all(shown.as_bytes())?;
            let mut chars = from.chars();
            for unit in chars.next().unwrap_or_default().encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = chars.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads [`escape_terminal`] and [`lossy`] back: proof that they keep differences.
    fn unescape<F: Form>(text: &str) -> Vec<u8> {
        let (mut out, mut rest) = (Vec::new(), text);
        while let Some(at) = rest.find('\\') {
            out.extend(rest[..at].bytes());
            let after = rest[at..].trim_start_matches('\\');
            let run = rest.len() - at - after.len();
            rest = after;
            if !F::misleads(after.as_bytes()) {
                out.extend(std::iter::repeat_n(b'\\', run));
                continue;
            }
            out.extend(std::iter::repeat_n(b'\\', run / 2));
            if run % 2 == 0 {
                continue;
            }
            let used = match after.as_bytes()[0] {
                b'n' => (out.push(b'\n'), 1).1,
                b'r' => (out.push(b'\r'), 1).1,
                b't' => (out.push(b'\t'), 1).1,
                b'x' => (out.push(u8::from_str_radix(&after[1..3], 16).unwrap()), 3).1,
                _ => {
                    let end = after.find('}').unwrap();
                    let c =
                        char::from_u32(u32::from_str_radix(&after[2..end], 16).unwrap()).unwrap();
                    out.extend(c.to_string().bytes());
                    end + 1
                }
            };
            rest = &rest[used..];
        }
        out.extend(rest.bytes());
        out
    }

    fn is_safe(text: &str) -> bool {
        !text.chars().any(|c| {
            c < ' '
                || ('\u{7f}'..='\u{9f}').contains(&c)
                || is_hidden(c)
                || "\u{202e}\u{2066}\u{200b}\u{feff}\u{2028}".contains(c)
        })
    }

    #[test]
    fn a_hostile_name_is_shown_not_obeyed() {
        for (raw, shown) in [
            (&b"nginx: worker process"[..], "nginx: worker process"),
            (b"\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
            (b"a\nb\r\tc\0", r"a\nb\r\tc\x00"),
            (
                "gpj.\u{202e}exe\u{200b}".as_bytes(),
                r"gpj.\u{202e}exe\u{200b}",
            ),
            (b"\xc2\x9b31m \x9b31m", r"\u{9b}31m \x9b31m"),
            (b"caf\xc3\xa9 \xff\xe2\x82", r"café \xff\xe2\x82"),
            (br"C:\dir\x41 \ \new", r"C:\dir\\x41 \ \\new"),
            (b"\\\n", r"\\\n"),
            (b"", ""),
        ] {
            assert_eq!(escape_terminal(raw), shown);
        }
        assert!(matches!(
            escape_terminal("plain é".as_bytes()),
            Cow::Borrowed(_)
        ));
    }

    #[test]
    fn a_field_keeps_text_as_rules_expect_it() {
        for (raw, shown) in [
            (
                &b"printf 'a\\n\\x41' | tr \\\\ /\n"[..],
                "printf 'a\\n\\x41' | tr \\\\ /\n",
            ),
            (b"\xff", r"\xff"),
            (br"\xff", r"\\xff"),
            (b"\\\xff", r"\\\xff"),
            (br"\\xff", r"\\\\xff"),
            (br"\xFF \x7f", r"\xFF \x7f"),
        ] {
            assert_eq!(lossy(raw), shown);
        }
    }

    #[test]
    fn arguments_read_as_typed() {
        let args: [&[u8]; 9] = [
            b"sh",
            b"-c",
            b"id; echo $HOME",
            b"",
            b"it's",
            b"a\x1b[1m'\\",
            b"\xff\nx",
            "naïve".as_bytes(),
            "\u{202e}\u{e0041}".as_bytes(),
        ];
        assert_eq!(
            shell_quote_args(&args),
            r"sh -c 'id; echo $HOME' '' 'it'\''s' $'a\x1b[1m\'\\' $'\xff\nx' naïve $'\u202e\U000e0041'"
        );
        assert_eq!(shell_quote_args::<&[u8]>(&[]), "");
        assert_eq!(
            shell_quote_args(&["#x", "~", "a*b", "!", "{a,b}", "&&"]),
            "'#x' '~' 'a*b' '!' '{a,b}' '&&'"
        );
    }

    #[test]
    fn a_json_line_cannot_be_broken_and_still_says_the_same() {
        let value = serde_json::json!({"process": {"name": "\u{202e}x\u{85}\u{7f}\n\"\\", "pid": 1, "tag": "\u{e0041}é"}});
        let line = json_line(&value).unwrap();
        assert_eq!(
            line,
            r#"{"process":{"name":"\u202ex\u0085\u007f\n\"\\","pid":1,"tag":"\udb40\udc41é"}}"#
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&line).unwrap(),
            value
        );
    }

    /// Bytes and characters that exercise every branch more often than chance would.
    fn hostile() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<u8>().prop_map(|b| vec![b]),
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            prop::sample::select(vec![
                "\\", "\\\\", "x", "n", "u{", "xff", "x8", "\u{202e}", "\n", "'", "a", "}"
            ])
            .prop_map(|s| s.as_bytes().to_vec()),
        ];
        prop::collection::vec(piece, 0..24).prop_map(|p| p.concat())
    }

    proptest! {
        #[test]
        fn the_terminal_form_is_safe_and_keeps_differences(bytes in hostile()) {
            let text = escape_terminal(&bytes);
            prop_assert!(is_safe(&text), "{text:?}");
            prop_assert_eq!(unescape::<Terminal>(&text), bytes);
        }

        #[test]
        fn the_form_for_records_keeps_differences(text: String, bytes in hostile()) {
            for text in [&text, &*String::from_utf8_lossy(&bytes)] {
                let shown = escape_line(text);
                prop_assert!(is_safe(&shown.replace(['\n', '\r'], "")), "{shown:?}");
                prop_assert_eq!(unescape::<Line>(&shown), text.as_bytes());
            }
        }

        #[test]
        fn the_field_form_keeps_differences(bytes in hostile()) {
            prop_assert_eq!(unescape::<Field>(&lossy(&bytes)), bytes);
        }

        #[test]
        fn the_json_form_is_safe_and_reads_back(bytes in hostile()) {
            let field = lossy(&bytes);
            let line = json_line(&field).unwrap();
            prop_assert!(is_safe(&line), "{line:?}");
            prop_assert_eq!(serde_json::from_str::<String>(&line).unwrap(), field);
        }

        #[test]
        fn quoted_arguments_are_safe(args in prop::collection::vec(hostile(), 0..4)) {
            let text = shell_quote_args(&args);
            prop_assert!(is_safe(&text), "{text:?}");
        }
    }

    #[test]
    fn bash_reads_quoted_arguments_back() {
        let args: [&[u8]; 6] = [
            b"it's",
            b"$(id) `id` \\",
            b"\x1b'\\\x01x",
            b"\xff\xfe",
            b"",
            "\u{202e}41".as_bytes(),
        ];
        let script = format!("printf '%s\\0' {}", shell_quote_args(&args));
        let Ok(run) = std::process::Command::new("bash")
            .args(["-c", &script])
            .env("LC_ALL", "C.UTF-8")
            .output()
        else {
            println!("skipped: no bash here");
            return;
        };
        let expected: Vec<u8> = args.iter().flat_map(|a| [a, &b"\0"[..]].concat()).collect();
        assert_eq!(run.stdout, expected);
    }
}
