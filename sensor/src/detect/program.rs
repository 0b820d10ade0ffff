//! What kind of program something is, from its path and arguments: a shell that reads commands
//! from its input, an interpreter that was given code, a service that lets people log in. No
//! state, and nothing about what it is connected to.

use crate::event::process::Program;

/// Command shells.
const SHELLS: &[&str] = &[
    "sh", "bash", "dash", "zsh", "ksh", "ksh93", "mksh", "lksh", "pdksh", "oksh", "fish", "tcsh",
    "csh", "ash", "rbash", "busybox", "toybox", "yash", "posh", "elvish", "nu", "rksh93",
];
/// Interpreters that read a program from standard input when they are given none.
const INTERPRETERS: &[&str] = &[
    "python",
    "pypy",
    "perl",
    "ruby",
    "php",
    "node",
    "nodejs",
    "lua",
    "luajit",
    "tclsh",
    "expect",
    "R",
    "Rscript",
    "deno",
    "bun",
    "raku",
    "guile",
    "irb",
    "gawk",
    "awk",
    "mawk",
    "nawk",
    "original-awk",
    "jjs",
    "jrunscript",
    "groovy",
    "ghci",
    "erl",
    "elixir",
    "julia",
    "octave",
    "gdb",
    "java",
    "mono",
    "dotnet",
    "sqlite",
    "vim",
    "vi",
    "emacs",
    "ed",
];
/// Services through which people work on a machine from afar, as they should.
const LOGIN_SERVICES: &[&str] = &[
    "sshd",
    "sshd-session",
    "sshd-auth",
    "dropbear",
    "in.telnetd",
    "telnetd",
    "in.rlogind",
    "in.rshd",
    "mosh-server",
    "cockpit-bridge",
    "cockpit-session",
    "cockpit-ws",
    "containerd",
    "containerd-shim",
    "containerd-shim-runc-v2",
    "dockerd",
    "docker",
    "crio",
    "conmon",
    "kubelet",
    "runc",
    "crun",
    "podman",
    "lxc-attach",
    "lxd",
    "incusd",
    "systemd-machined",
    "qemu-ga",
    "qemu-guest-agent",
    "amazon-ssm-agent",
    "ssm-session-worker",
    "google_guest_agent",
    "waagent",
    "xrdp",
    "xrdp-sesman",
    "teleport",
    "tailscaled",
    "step-ssh",
];
/// Where packages put programs; only root writes there.
const SYSTEM_DIRECTORIES: &[&str] = &[
    "/usr/",
    "/bin/",
    "/sbin/",
    "/lib/",
    "/lib64/",
    "/snap/",
    "/nix/store/",
];
/// Programs that fetch what they are told to, and are often told to fetch scripts.
const FETCHERS: &[&str] = &[
    "curl",
    "wget",
    "wget2",
    "fetch",
    "aria2c",
    "lwp-request",
    "GET",
    "http",
    "https",
    "xh",
    "ssh",
    "git",
    "rsync",
    "aws",
    "gsutil",
    "az",
    "apt-helper",
];
/// Programs that hand bytes on between a socket and their own streams, and do nothing else.
const BARE_RELAYS: &[&str] = &[
    "nc",
    "nc.openbsd",
    "nc.traditional",
    "netcat",
    "ncat",
    "socat",
    "telnet",
    "openssl",
    "gnutls-cli",
    "inetutils-telnet",
    "pwncat",
    "rlwrap",
    "cryptcat",
    "sbd",
];
/// Servers that give each connection to a program of its own.
const SUPER_SERVERS: &[&str] = &[
    "systemd",
    "inetd",
    "xinetd",
    "tcpserver",
    "s6-tcpserver",
    "git",
    "git-daemon",
];
/// Where anybody may put a file.
const OPEN_DIRECTORIES: &[&str] = &[
    "/tmp/",
    "/var/tmp/",
    "/dev/shm/",
    "/run/user/",
    "/run/lock/",
];
/// Shortest argument that can be a program by itself.
const CODE_MIN: usize = 16;

/// What we take a program for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A command shell.
    Shell,
    /// Another interpreter.
    Interpreter,
    /// Anything else.
    Other,
}

/// A program, seen through its name and arguments.
#[derive(Clone, Copy, Debug)]
pub struct Look<'p> {
    program: &'p Program,
    /// What it goes by: its file name, or which one it is of the many in one file.
    name: &'p str,
    /// Its arguments, without the name.
    args: &'p [Box<str>],
    kind: Kind,
    /// What it is called where packages put it, versions aside.
    stem: &'static str,
}

impl<'p> Look<'p> {
    /// By its name.
    #[must_use]
    pub fn at(program: &'p Program) -> Self {
        let name = program.name().unwrap_or_default();
        let args = program.args.get(1..).unwrap_or_default();
        let (name, args) = if many_in_one(name).is_some() {
            one_of_many(program)
        } else {
            (name, args)
        };
        let (kind, stem) = kind_of(name);
        Self {
            program,
            name,
            args,
            kind,
            stem,
        }
    }

    /// As what it was found to be a copy of, when its name says nothing.
    #[must_use]
    pub fn known_as(mut self, kind: Kind, stem: &'static str) -> Self {
        if many_in_one(stem).is_some() {
            (self.name, self.args) = one_of_many(self.program);
            (self.kind, self.stem) = kind_of(self.name);
        } else {
            (self.kind, self.stem) = (kind, stem);
        }
        self
    }

    /// What it goes by: its file name, or which one it is of the many in one file.
    #[must_use]
    pub const fn name(&self) -> &'p str {
        self.name
    }

    /// Its arguments, without the name.
    #[must_use]
    pub const fn args(&self) -> &'p [Box<str>] {
        self.args
    }

    /// What its file is called where packages put it, versions aside; empty for other programs.
    #[must_use]
    pub fn stem(&self) -> &'static str {
        let many = self.program.name().and_then(many_in_one);
        many.unwrap_or(self.stem)
    }

    /// What it is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it stands where packages put programs.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        self.program
            .executable
            .as_deref()
            .is_some_and(|path| SYSTEM_DIRECTORIES.iter().any(|of| path.starts_with(of)))
    }

    /// Whether it, or the script it runs, stands where anybody may put files, or is hidden.
    #[must_use]
    pub fn is_out_of_place(&self) -> bool {
        let path = self.program.executable.as_deref();
        path.into_iter().chain(self.script()).any(is_odd_place)
    }

    /// Whether it reads what it shall do from its standard input: no script and no command among
    /// its arguments.
    #[must_use]
    pub fn reads_commands(&self) -> bool {
        match self.kind {
            Kind::Other => false,
            Kind::Shell | Kind::Interpreter => {
                let options = self.options();
                options.forced || !(options.operand.is_some() || options.code)
            }
        }
    }

    /// Whether it is a shell that was told to talk to a person.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        let mut options = self.args.iter();
        self.kind == Kind::Shell
            && options.any(|arg| {
                &**arg == "--interactive"
                    || (arg.starts_with('-') && !arg.starts_with("--") && arg.contains('i'))
            })
    }

    /// Whether its program is among its arguments instead of in a file.
    #[must_use]
    pub fn carries_code(&self) -> bool {
        match self.kind {
            Kind::Shell => false,
            Kind::Interpreter => {
                let options = self.options();
                options.code || options.operand.is_none_or(is_code)
            }
            Kind::Other => self.args.iter().any(|arg| is_code(arg)),
        }
    }

    /// The script it was given.
    #[must_use]
    pub fn script(&self) -> Option<&'p str> {
        if self.kind == Kind::Other {
            return None;
        }
        self.options().operand.filter(|operand| !is_code(operand))
    }

    /// A service for logging in, where packages put it.
    #[must_use]
    pub fn is_login_service(&self) -> bool {
        self.is_of_system() && LOGIN_SERVICES.contains(&self.name)
    }

    /// A program that fetches what it is told to.
    #[must_use]
    pub fn is_fetcher(&self) -> bool {
        FETCHERS.contains(&self.name)
    }

    /// A program that hands bytes on between a socket and its own streams, whatever they are; a
    /// shell does so too when it is told to.
    #[must_use]
    pub fn is_bare_relay(&self) -> bool {
        self.kind == Kind::Shell || BARE_RELAYS.contains(&self.name)
    }

    /// A server that gives each connection to a program of its own, where packages put it.
    #[must_use]
    pub fn is_super_server(&self) -> bool {
        self.is_of_system() && SUPER_SERVERS.contains(&self.name)
    }

    fn options(&self) -> Options<'p> {
        Options::of(self.kind, self.stem, self.args)
    }
}

/// What the arguments of an interpreter say.
#[derive(Clone, Copy, Debug, Default)]
struct Options<'p> {
    /// An option took a program as its argument.
    code: bool,
    /// Asked to read from standard input, or to talk to a person.
    forced: bool,
    /// The first argument that is no option.
    operand: Option<&'p str>,
}

impl<'p> Options<'p> {
    fn of(kind: Kind, stem: &str, args: &'p [Box<str>]) -> Self {
        let mut found = Self::default();
        let mut rest = args.iter().map(|arg| &**arg);
        while let Some(arg) = rest.next() {
            if arg == "-" || arg == "--" {
                found.operand = rest.next();
                break;
            }
            if let Some(long) = arg.strip_prefix("--") {
                match long.split('=').next().unwrap_or_default() {
                    "rcfile" | "init-file" => {
                        let _ = rest.next();
                    }
                    "eval" | "command" | "execute" | "run" => found.code = true,
                    "interactive" => found.forced = true,
                    _ => {}
                }
                continue;
            }
            let Some(letters) = arg.strip_prefix(['-', '+']) else {
                found.operand = Some(arg);
                break;
            };
            match kind {
                Kind::Shell => {
                    found.code |= letters.contains('c');
                    found.forced |= letters.contains('s');
                    if letters.ends_with(['o', 'O']) {
                        let _ = rest.next();
                    }
                }
                _ if takes_code(stem, letters) => {
                    found.code = true;
                    break;
                }
                _ => {}
            }
        }
        if stem.ends_with("awk") && found.operand.is_some() {
            // Its program, unless `-f` names a file.
            found.code = !args.iter().any(|arg| arg.starts_with("-f"));
        }
        // A command goes before everything else, `-s` too.
        found.forced &= !found.code;
        found
    }
}

/// Whether an option of an interpreter, without its dash, is followed by a program.
fn takes_code(stem: &str, letters: &str) -> bool {
    match stem {
        "python" | "pypy" => letters.ends_with('c'),
        // `-M`, `-I`, `-r` take the name of a module.
        "perl" | "raku" => {
            !letters.starts_with(['M', 'm', 'I', 'x']) && letters.contains(['e', 'E'])
        }
        "ruby" => !letters.starts_with(['r', 'I', 'C']) && letters.contains('e'),
        "php" => matches!(letters, "r" | "B" | "R" | "E"),
        "node" | "nodejs" | "lua" | "luajit" | "R" | "Rscript" | "groovy" | "julia" | "ghci" => {
            matches!(letters, "e" | "p" | "pe")
        }
        "sqlite" => letters == "cmd",
        "vim" | "vi" | "gdb" => matches!(letters, "c" | "ex"),
        "emacs" => letters == "eval",
        "erl" => letters == "eval",
        _ => letters == "e" || letters == "c",
    }
}

/// Whether a text is more likely a program than the name of a file.
fn is_code(text: &str) -> bool {
    const MARKS: &[char] = &['(', ')', ';', '{', '}', '$', '|', '"', '\'', '<', '>'];
    text.len() >= CODE_MIN && text.chars().filter(|c| MARKS.contains(c)).count() >= 3
}

fn is_odd_place(path: &str) -> bool {
    OPEN_DIRECTORIES.iter().any(|of| path.starts_with(of))
        || path.starts_with("/memfd:")
        || path.ends_with(" (deleted)")
        || path
            .split('/')
            .any(|element| element.starts_with('.') && element.len() > 2)
}

/// What a file of this name is called, versions aside, if it is many programs in one. Which one,
/// its first argument says.
pub(super) fn many_in_one(name: &str) -> Option<&'static str> {
    ["busybox", "toybox", "coreutils"]
        .into_iter()
        .find(|many| name.starts_with(many))
}

/// Which one of many it is, and that one's arguments. One that does not say is taken for a shell.
fn one_of_many(program: &Program) -> (&str, &[Box<str>]) {
    let mut args = &*program.args;
    while let Some((first, rest)) = args.split_first() {
        let name = first.rsplit('/').next().unwrap_or_default();
        if many_in_one(name).is_none() {
            return (name, rest);
        }
        args = rest;
    }
    ("sh", args)
}

/// What a program of this file name is, and its name without a version: `python3.11`, `lua5.3`,
/// `ksh93`.
pub(super) fn kind_of(name: &str) -> (Kind, &'static str) {
    let name = name.strip_prefix('-').unwrap_or(name);
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-'));
    for (kind, names) in [(Kind::Shell, SHELLS), (Kind::Interpreter, INTERPRETERS)] {
        let known = names
            .iter()
            .find(|known| **known == name || **known == stem);
        if let Some(known) = known {
            return (kind, known);
        }
    }
    (Kind::Other, "")
}

#[cfg(test)]
mod tests;
