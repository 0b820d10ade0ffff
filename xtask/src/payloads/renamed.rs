//! Interpreters under other names: which programs a payload names are copied to a place and a
//! name that say nothing, and its command lines are rewritten to use them. Pure text.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// Programs that are renamed wherever a payload names them, besides the one its list names: those
/// that a rule could know by name. Helpers such as `cat` and `mkfifo` keep theirs.
const INTERPRETERS: [&str; 48] = [
    "R",
    "Rscript",
    "ash",
    "awk",
    "bash",
    "busybox",
    "curl",
    "dash",
    "expect",
    "gawk",
    "gdb",
    "java",
    "jrunscript",
    "julia",
    "ksh",
    "ksh93",
    "lua",
    "lua5.1",
    "lua5.2",
    "lua5.3",
    "lua5.4",
    "mawk",
    "mksh",
    "nc",
    "nc.openbsd",
    "nc.traditional",
    "ncat",
    "netcat",
    "node",
    "nodejs",
    "openssl",
    "perl",
    "php",
    "php8.2",
    "python",
    "python2",
    "python3",
    "ruby",
    "scapy",
    "sh",
    "socat",
    "sqlite3",
    "tclsh",
    "telnet",
    "vim",
    "wget",
    "wish",
    "zsh",
];

/// Copies to be made: to where, from what.
pub(super) struct Renamed<'a> {
    id: &'a str,
    interpreter: &'a str,
    resolve: &'a dyn Fn(&str) -> Option<String>,
    pub(super) copies: BTreeMap<String, String>,
}

impl<'a> Renamed<'a> {
    /// For one payload, in whose root `resolve` finds programs.
    pub(super) fn new(
        id: &'a str,
        interpreter: &'a str,
        resolve: &'a dyn Fn(&str) -> Option<String>,
    ) -> Self {
        Self {
            id,
            interpreter,
            resolve,
            copies: BTreeMap::new(),
        }
    }

    /// The text with every interpreter in it under its other name.
    pub(super) fn rewrite(&mut self, text: &str) -> String {
        let mut rewritten = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find(is_word) {
            let (before, word) = rest.split_at(start);
            let end = word.find(|letter| !is_word(letter)).unwrap_or(word.len());
            let (word, after) = word.split_at(end);
            rewritten += before;
            // A variable or a placeholder is no program, whatever its name.
            let is_name = !before.ends_with(['$', '{', '@', '-', '%'])
                && !after.trim_start_matches(' ').starts_with('=');
            match is_name.then(|| self.other_name(word)).flatten() {
                Some(other) => rewritten += &other,
                None => rewritten += word,
            }
            rest = after;
        }
        rewritten + rest
    }

    /// The other name of a program; the same each time.
    pub(super) fn other_name(&mut self, word: &str) -> Option<String> {
        let name = word.rsplit('/').next().unwrap_or(word);
        if name != self.interpreter && !INTERPRETERS.contains(&name) {
            return None;
        }
        let from = (self.resolve)(word)?;
        let other = other_name(self.id, name);
        self.copies.insert(other.clone(), from);
        Some(other)
    }
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || "/._+-".contains(letter)
}

/// As random as need be, and the same in the next run. Some shells behave by the first letter of
/// their name (`r`, `s`, `k`, `b`), so it is one that means nothing to them.
fn other_name(id: &str, name: &str) -> String {
    let mut hasher = DefaultHasher::new();
    (id, name).hash(&mut hasher);
    let hash = hasher.finish();
    let letters = |bits: u64| -> String {
        (0..7u32)
            .map(|place| char::from(b'a' + ((bits >> (4 * place)) & 15) as u8))
            .collect()
    };
    format!("/opt/q{}/q{}", letters(hash >> 32), letters(hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(word: &str) -> Option<String> {
        let is_there = ["sh", "/bin/sh", "python3", "cat"].contains(&word);
        is_there.then(|| format!("/usr/bin/{}", word.trim_start_matches("/bin/")))
    }

    fn rewrite(text: &str) -> (String, usize) {
        let mut renamed = Renamed::new("a", "python3", &resolve);
        let text = renamed.rewrite(text);
        (text, renamed.copies.len())
    }

    #[test]
    fn interpreters_are_renamed_and_nothing_else() {
        let sh = other_name("a", "sh");
        let (text, copies) = rewrite("cat f|/bin/sh -i 2>&1; sh -c x.sh $sh {sh} nosuch");
        assert_eq!(
            text,
            format!("cat f|{sh} -i 2>&1; {sh} -c x.sh $sh {{sh}} nosuch")
        );
        assert_eq!(copies, 1);
    }

    #[test]
    fn a_variable_is_not_renamed() {
        let text = "var sh = spawn(); sh.stdin; sh= 1";
        assert_eq!(rewrite(text), (text.to_owned(), 0));
    }

    #[test]
    fn what_is_quoted_is_renamed_too() {
        let (text, copies) = rewrite("python3 -c 'pty.spawn(\"/bin/sh\")'");
        assert!(!text.contains("python3") && !text.contains("/bin/sh"));
        assert_eq!(copies, 2);
    }

    #[test]
    fn a_name_says_nothing_and_stays() {
        assert_eq!(other_name("a", "sh"), other_name("a", "sh"));
        assert_ne!(other_name("a", "sh"), other_name("b", "sh"));
        assert!(other_name("a", "sh").starts_with("/opt/q"));
    }
}
