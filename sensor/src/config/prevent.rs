//! `[[respond.prevent]]`: rules about programs that are not to start, as they are written.

use serde::Deserialize;

use crate::probe::prevention::rule::{self, RuleError};
use crate::probe::prevention::{self, Program, Rule, Stream, Trait};
use crate::respond::process::protect::user_id;

/// How far a rule goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// It is as if it were not there.
    Off,
    /// It is only told when it would apply.
    #[default]
    DryRun,
    /// It keeps programs from starting.
    Enforce,
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum User {
    /// By number.
    Id(u32),
    /// By name in `/etc/passwd`.
    Name(String),
}

/// One rule. All of its conditions have to hold; each is a list, of which one entry is enough, and
/// holds for everything when it is empty.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prevent {
    /// What people call it.
    pub name: String,
    /// How far it goes.
    #[serde(default)]
    pub mode: Mode,
    /// `shell`, `interpreter`, `netcat`, or paths as in `[files]`: `/tmp/x`, `/tmp/`, `/tmp/x*`.
    #[serde(default)]
    pub programs: Vec<String>,
    /// `memfd`, `deleted`, `tmpfs`, `hidden_name`, `overlay_upper`, `setuid`,
    /// `writable_by_others`, `not_of_root`.
    #[serde(default)]
    pub traits: Vec<String>,
    /// What standard input is: `inet_socket` (of which the other side is elsewhere),
    /// `loopback_socket`, `unix_socket`, `pipe`, `tty`, …
    #[serde(default)]
    pub stdin: Vec<String>,
    /// What standard output is.
    #[serde(default)]
    pub stdout: Vec<String>,
    /// Real users, by name or number.
    #[serde(default)]
    pub users: Vec<User>,
    /// Control groups, with all in them: `/system.slice/apache2.service`.
    #[serde(default)]
    pub control_groups: Vec<String>,
    /// Also what people who have logged in start (all in `/user.slice`).
    #[serde(default)]
    pub logins: bool,
}

impl Prevent {
    fn rule(&self) -> Result<Rule, RuleError> {
        let name = &self.name;
        Ok(Rule {
            name: name.clone(),
            mode: match self.mode {
                Mode::Off | Mode::DryRun => prevention::Mode::DryRun,
                Mode::Enforce => prevention::Mode::Enforce,
            },
            programs: each(&self.programs, |text| Program::parse(name, text))?,
            traits: each(&self.traits, |word| Trait::parse(name, word))?,
            stdin: each(&self.stdin, |word| Stream::parse(name, word))?,
            stdout: each(&self.stdout, |word| Stream::parse(name, word))?,
            users: self
                .users
                .iter()
                .map(|user| self.user(user))
                .collect::<Result<_, _>>()?,
            groups: self.control_groups.clone(),
            logins: self.logins,
        })
    }

    fn user(&self, user: &User) -> Result<u32, RuleError> {
        match user {
            User::Id(id) => Ok(*id),
            User::Name(name) => user_id(name).ok_or_else(|| RuleError::Word {
                rule: self.name.clone(),
                word: name.clone(),
                choice: "the users in /etc/passwd; a number will do as well".to_owned(),
            }),
        }
    }
}

fn each<T>(
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, RuleError>,
) -> Result<Vec<T>, RuleError> {
    texts.iter().map(|text| parse(text)).collect()
}

/// Those that are not off, checked; so are the others, which are on their way in or out.
///
/// # Errors
/// The first that means nothing.
pub fn rules(written: &[Prevent]) -> Result<Vec<Rule>, RuleError> {
    let mut rules = written
        .iter()
        .map(Prevent::rule)
        .collect::<Result<Vec<_>, _>>()?;
    rule::check_all(&rules)?;
    let mut modes = written.iter().map(|rule| rule.mode);
    rules.retain(|_| modes.next() != Some(Mode::Off));
    Ok(rules)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Rule>, String> {
        #[derive(Deserialize)]
        struct All {
            prevent: Vec<Prevent>,
        }
        let all: All = toml::from_str(text).map_err(|error| error.to_string())?;
        rules(&all.prevent).map_err(|error| error.to_string())
    }

    #[test]
    fn a_rule_is_read_and_one_that_is_off_is_not_there() {
        let text = r#"
            [[prevent]]
            name = "no shells on sockets"
            mode = "enforce"
            programs = ["shell", "/tmp/"]
            stdin = ["inet_socket"]
            users = ["root", 33]
            [[prevent]]
            name = "rehearsed"
            traits = ["memfd"]
            [[prevent]]
            name = "off"
            mode = "off"
            traits = ["memfd"]
        "#;
        let rules = read(text).unwrap();
        assert_eq!(rules.len(), 2);
        assert_eq!(rules[0].users, [0, 33]);
        assert_eq!(rules[0].mode, prevention::Mode::Enforce);
        assert_eq!(rules[1].mode, prevention::Mode::DryRun);
    }

    #[test]
    fn mistakes_are_named() {
        let error = |more: &str| read(&format!("[[prevent]]\nname = \"r\"\n{more}")).unwrap_err();
        assert!(error("").contains("no condition"));
        assert!(error("mode = \"off\"").contains("no condition"));
        assert!(error("stdin = [\"inet\"]").contains("inet_socket"));
        assert!(error("users = [\"no such user\"]").contains("no such user"));
        assert!(error("programs = [\"*.sh\"]").contains("a path from / on"));
        assert!(error("traits = [\"odd\"]").contains("memfd"));
        assert!(error("stdn = []").contains("stdn"));
    }
}
