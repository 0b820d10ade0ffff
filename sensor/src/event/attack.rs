//! MITRE ATT&CK: the techniques and tactics that alerts refer to. Ids are all a rule needs to
//! give; names are here for those that our own behaviours use, and for every tactic.
//! Source: ATT&CK for Enterprise, <https://attack.mitre.org>; a test holds it against the
//! official table.

use std::borrow::Cow;

/// A tactic: why it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tactic {
    /// Such as `TA0011`.
    pub id: &'static str,
    /// As ATT&CK and Sigma write it: `command-and-control`.
    pub name: &'static str,
}

macro_rules! tactics {
    ($($constant:ident $id:literal $name:literal;)*) => {
        $(#[doc = concat!("`", $id, "`.")] pub const $constant: Tactic = Tactic { id: $id, name: $name };)*
        /// All tactics there are.
        pub const TACTICS: &[Tactic] = &[$($constant),*];
    };
}

tactics! {
    RECONNAISSANCE "TA0043" "reconnaissance";
    RESOURCE_DEVELOPMENT "TA0042" "resource-development";
    INITIAL_ACCESS "TA0001" "initial-access";
    EXECUTION "TA0002" "execution";
    PERSISTENCE "TA0003" "persistence";
    PRIVILEGE_ESCALATION "TA0004" "privilege-escalation";
    DEFENSE_EVASION "TA0005" "defense-evasion";
    CREDENTIAL_ACCESS "TA0006" "credential-access";
    DISCOVERY "TA0007" "discovery";
    LATERAL_MOVEMENT "TA0008" "lateral-movement";
    COLLECTION "TA0009" "collection";
    COMMAND_AND_CONTROL "TA0011" "command-and-control";
    EXFILTRATION "TA0010" "exfiltration";
    IMPACT "TA0040" "impact";
}

/// The tactic of a name as Sigma's tags write it, with `-` or `_`.
#[must_use]
pub fn tactic(name: &str) -> Option<Tactic> {
    let name = name.replace('_', "-");
    TACTICS.iter().copied().find(|tactic| tactic.name == name)
}

/// A technique: how it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Technique {
    /// Such as `T1059.004`.
    pub id: Cow<'static, str>,
    /// Its name, where we know it.
    pub name: Option<&'static str>,
}

impl Technique {
    /// One of those named here; any other goes without a name.
    #[must_use]
    pub fn new(id: impl Into<Cow<'static, str>>) -> Self {
        let id = id.into();
        let name = NAMES
            .iter()
            .find(|(known, _)| *known == id)
            .map(|(_, name)| *name);
        Self { id, name }
    }

    /// Whether it is a part of another technique.
    #[must_use]
    pub fn is_sub_technique(&self) -> bool {
        self.id.contains('.')
    }
}

/// Names of techniques, in the order of their ids.
const NAMES: &[(&str, &str)] = &[
    ("T1003.008", "/etc/passwd and /etc/shadow"),
    ("T1014", "Rootkit"),
    ("T1036", "Masquerading"),
    ("T1053.003", "Cron"),
    ("T1055.008", "Ptrace System Calls"),
    ("T1055.009", "Proc Memory"),
    ("T1059", "Command and Scripting Interpreter"),
    ("T1059.004", "Unix Shell"),
    ("T1059.006", "Python"),
    ("T1068", "Exploitation for Privilege Escalation"),
    ("T1070", "Indicator Removal"),
    ("T1070.002", "Clear Linux or Mac System Logs"),
    ("T1070.003", "Clear Command History"),
    ("T1071", "Application Layer Protocol"),
    ("T1071.004", "DNS"),
    ("T1090", "Proxy"),
    ("T1095", "Non-Application Layer Protocol"),
    ("T1098.004", "SSH Authorized Keys"),
    ("T1105", "Ingress Tool Transfer"),
    ("T1190", "Exploit Public-Facing Application"),
    ("T1496", "Resource Hijacking"),
    ("T1505.003", "Web Shell"),
    ("T1543.002", "Systemd Service"),
    ("T1546.004", "Unix Shell Configuration Modification"),
    ("T1547.006", "Kernel Modules and Extensions"),
    ("T1548.001", "Setuid and Setgid"),
    ("T1548.003", "Sudo and Sudo Caching"),
    ("T1556.003", "Pluggable Authentication Modules"),
    ("T1564.001", "Hidden Files and Directories"),
    ("T1571", "Non-Standard Port"),
    ("T1572", "Protocol Tunneling"),
    ("T1573", "Encrypted Channel"),
    ("T1574.006", "Dynamic Linker Hijacking"),
    ("T1611", "Escape to Host"),
    ("T1620", "Reflective Code Loading"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A table of the official list, from id to name.
    fn official(file: &str) -> Option<HashMap<String, String>> {
        let path = format!(
            "{}/../../shared/schemas/attack/{file}",
            env!("CARGO_MANIFEST_DIR")
        );
        let Ok(text) = std::fs::read_to_string(&path) else {
            println!("skipped: {path} is not here");
            return None;
        };
        Some(
            text.lines()
                .skip(1)
                .filter_map(|line| {
                    let mut columns = line.split('\t');
                    Some((columns.next()?.to_owned(), columns.next()?.to_owned()))
                })
                .collect(),
        )
    }

    #[test]
    fn techniques_are_called_what_attack_calls_them() {
        let Some(official) = official("techniques.tsv") else {
            return;
        };
        for (id, name) in NAMES {
            assert_eq!(official.get(*id).map(String::as_str), Some(*name), "{id}");
        }
    }

    #[test]
    fn tactics_are_called_what_attack_calls_them() {
        let Some(official) = official("tactics.tsv") else {
            return;
        };
        assert_eq!(official.len(), TACTICS.len());
        for tactic in TACTICS {
            assert_eq!(
                official.get(tactic.id).map(String::as_str),
                Some(tactic.name)
            );
        }
    }

    #[test]
    fn a_tactic_is_found_however_its_name_is_joined() {
        assert_eq!(tactic("defense_evasion"), Some(DEFENSE_EVASION));
        assert_eq!(tactic("defense-evasion"), Some(DEFENSE_EVASION));
        assert_eq!(tactic("bad luck"), None);
    }
}
