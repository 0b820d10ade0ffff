//! Runs a program of the operator's because of an alert: no shell, no privileges but those of its
//! user, nothing of the sensor's environment or open files, the alert on its standard input, and a
//! time after which it is killed with all that it started. What it is told in arguments is decided
//! by the playbook.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::playbook::{Argument, Run};
use crate::event::Event;

/// Output that is kept of each stream, in bytes; what is more is read and thrown away.
const OUTPUT_MAX: usize = 2_048;
/// The environment of every program.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// First descriptor that is not a standard stream.
const FIRST_OTHER: libc::c_uint = 3;
/// Descriptors closed one by one where the kernel cannot close all (before 5.11).
const DESCRIPTORS: libc::c_int = 4_096;
/// Longest file of users read, in bytes.
const PASSWD_MAX: u64 = 8 << 20;

/// Whom a program runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct User {
    uid: u32,
    gid: u32,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    /// Its status; `None` when it took too long and was killed.
    pub status: Option<ExitStatus>,
    /// The beginning of what it said, both streams.
    pub said: String,
}

impl Ended {
    /// Whether it did what it is for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.status.is_some_and(|status| status.success())
    }

    /// In a sentence.
    #[must_use]
    pub fn in_words(&self, run: &Run) -> String {
        let mut text = match self.status {
            None => format!(
                "{} took longer than {} s and was killed",
                run.program,
                run.timeout.as_secs()
            ),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("{} ended with code {code}", run.program),
                (None, signal) => {
                    format!(
                        "{} was ended by signal {}",
                        run.program,
                        signal.unwrap_or(0)
                    )
                }
            },
        };
        let said = self.said.trim();
        if !said.is_empty() {
            text.push_str(", and said: ");
            text.push_str(said);
        }
        text
    }
}

/// The program and its arguments, as far as they depend on an alert.
#[must_use]
pub fn command_line(run: &Run, event: &Event) -> Vec<String> {
    let arguments = run.arguments.iter().map(|argument| match argument {
        Argument::Text(text) => text.to_string(),
        Argument::Of(placeholder) => placeholder.value(event),
    });
    std::iter::once(run.program.to_string())
        .chain(arguments)
        .collect()
}

/// Runs it to its end, or to the end of its time. `input` is what it finds on its standard input.
///
/// # Errors
/// When there is no such user, or the program cannot be started.
pub fn run(run: &Run, arguments: &[String], input: &str) -> io::Result<Ended> {
    let user = user(&run.user, &passwd()?)?;
    let mut command = Command::new(&*run.program);
    command
        .args(arguments.iter().skip(1))
        .env_clear()
        .env("PATH", PATH)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0);
    // SAFETY: between fork and exec only system calls are made; nothing is allocated.
    unsafe { command.pre_exec(move || shed(user)) };
    let mut child = command.spawn()?;
    let mut talk = Talk {
        input: input.as_bytes(),
        stdin: child.stdin.take().map(OwnedFd::from),
        outputs: [
            child.stdout.take().map(OwnedFd::from),
            child.stderr.take().map(OwnedFd::from),
        ],
        said: Vec::new(),
    };
    let ended = converse(&mut talk, child.id(), run.timeout);
    // It is not waited for yet, so that its group is still its own: whatever is left of it goes.
    // SAFETY: no memory is passed.
    unsafe { libc::kill(-child.id().cast_signed(), libc::SIGKILL) };
    let status = child.wait()?;
    talk.read();
    Ok(Ended {
        status: ended?.then_some(status),
        said: String::from_utf8_lossy(&talk.said).into_owned(),
    })
}

fn passwd() -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    fs::File::open("/etc/passwd")?
        .take(PASSWD_MAX)
        .read_to_end(&mut text)?;
    Ok(text)
}

/// A user by name or number, from the text of a `passwd` file (passwd(5)).
fn user(wanted: &str, passwd: &[u8]) -> io::Result<User> {
    let lines = passwd.split(|byte| *byte == b'\n');
    let found = lines
        .filter_map(|line| std::str::from_utf8(line).ok())
        .find_map(|line| {
            let mut fields = line.split(':');
            let (name, _, uid, gid) = (
                fields.next()?,
                fields.next()?,
                fields.next()?,
                fields.next()?,
            );
            (name == wanted || uid == wanted).then(|| {
                Some(User {
                    uid: uid.parse().ok()?,
                    gid: gid.parse().ok()?,
                })
            })?
        });
    found.ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!("there is no user {wanted:?} in /etc/passwd"),
        )
    })
}

/// Gives up, between fork and exec, what the program must not have: the sensor's user and groups,
/// open files, and with them all capabilities; and any way to gain more by running something else.
/// Who is to run as root keeps root's capabilities.
fn shed(user: User) -> io::Result<()> {
    let done = |result: libc::c_int| match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    };
    // SAFETY: plain numbers; the one list of groups is empty. `setuid` from root drops the
    // permitted and effective capabilities (capabilities(7)), and without new privileges no
    // exec brings any back.
    unsafe {
        // Not before others, as who starts it.
        done(libc::setpriority(libc::PRIO_PROCESS, 0, 0))?;
        done(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        done(libc::setgroups(0, std::ptr::null()))?;
        done(libc::setresgid(user.gid, user.gid, user.gid))?;
        done(libc::setresuid(user.uid, user.uid, user.uid))?;
        libc::umask(0o077);
        close_on_exec();
    }
    Ok(())
}

/// Marks everything but the standard streams to be closed by the exec: what the standard library
/// opens is marked anyway, so this is for whatever else may be open.
fn close_on_exec() {
    const CLOEXEC: libc::c_uint = 1 << 2;
    // SAFETY: plain numbers.
    unsafe {
        let all = libc::syscall(
            libc::SYS_close_range,
            FIRST_OTHER,
            libc::c_uint::MAX,
            CLOEXEC,
        );
        if all != 0 {
            for fd in 3..DESCRIPTORS {
                libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
            }
        }
    }
}

/// Talks with a program until it ends or its time is up; whether it ended.
fn converse(talk: &mut Talk<'_>, pid: u32, timeout: Duration) -> io::Result<bool> {
    let deadline = Instant::now() + timeout;
    let pidfd = pidfd(pid)?;
    talk.set_nonblocking()?;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        if talk.wait(&pidfd, left)? {
            return Ok(true);
        }
    }
}

fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers; the child was not waited for.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let fd = libc::c_int::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a new descriptor that nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The three streams of a program.
struct Talk<'a> {
    input: &'a [u8],
    stdin: Option<OwnedFd>,
    outputs: [Option<OwnedFd>; 2],
    said: Vec<u8>,
}

impl Talk<'_> {
    fn set_nonblocking(&self) -> io::Result<()> {
        let streams = self.outputs.iter().chain([&self.stdin]).flatten();
        for stream in streams {
            // SAFETY: a descriptor of ours.
            if unsafe { libc::fcntl(stream.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) } != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    }

    /// Waits for something to say or hear; true when the program has ended.
    fn wait(&mut self, pidfd: &OwnedFd, at_most: Duration) -> io::Result<bool> {
        let number = |stream: &Option<OwnedFd>| stream.as_ref().map_or(-1, |fd| fd.as_raw_fd());
        let wanted = |fd, events| libc::pollfd {
            fd,
            events,
            revents: 0,
        };
        let [stdout, stderr] = &self.outputs;
        let mut polled = [
            wanted(pidfd.as_raw_fd(), libc::POLLIN),
            wanted(number(&self.stdin), libc::POLLOUT),
            wanted(number(stdout), libc::POLLIN),
            wanted(number(stderr), libc::POLLIN),
        ];
        let timeout = i32::try_from(at_most.as_millis().max(1)).unwrap_or(i32::MAX);
        // SAFETY: the array is as long as said; negative descriptors are passed over.
        let ready =
            unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
        if ready < 0 {
            let error = io::Error::last_os_error();
            return if error.kind() == io::ErrorKind::Interrupted {
                Ok(false)
            } else {
                Err(error)
            };
        }
        self.write();
        self.read();
        let [program, ..] = polled;
        Ok(program.revents != 0)
    }

    /// Says what can be said; hangs up when that is all, or nobody listens.
    fn write(&mut self) {
        let Some(stdin) = &self.stdin else { return };
        let mut stream = borrowed(stdin);
        while !self.input.is_empty() {
            match stream.write(self.input) {
                Ok(count @ 1..) => self.input = self.input.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                _ => break,
            }
        }
        self.stdin = None;
    }

    /// Hears what there is, and forgets what is beyond the bound.
    fn read(&mut self) {
        for output in &mut self.outputs {
            let Some(stream) = output else { continue };
            let mut buffer = [0; 4_096];
            // Bounded, so that a program that never stops talking does not outlast its time.
            for _ in 0..16 {
                match borrowed(stream).read(&mut buffer) {
                    Ok(count @ 1..) => {
                        let room = (2 * OUTPUT_MAX).saturating_sub(self.said.len());
                        let heard = buffer.get(..count.min(room)).unwrap_or_default();
                        self.said.extend_from_slice(heard);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    _ => {
                        *output = None;
                        break;
                    }
                }
            }
        }
    }
}

/// A stream to read and write, which stays open afterwards.
fn borrowed(fd: &OwnedFd) -> std::mem::ManuallyDrop<fs::File> {
    // SAFETY: the descriptor is open as long as it is borrowed, and is not closed by this.
    let file = unsafe { fs::File::from_raw_fd(fd.as_fd().as_raw_fd()) };
    std::mem::ManuallyDrop::new(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::made_up;
    use crate::event::process::ProcessKey;

    fn shell(script: &str, timeout: Duration) -> (Run, Vec<String>) {
        let run = Run {
            program: "/bin/sh".into(),
            arguments: Box::new([]),
            timeout,
            // SAFETY: no preconditions.
            user: unsafe { libc::geteuid() }.to_string().into(),
        };
        let arguments = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
        (run, arguments)
    }

    fn is_root() -> bool {
        // SAFETY: no preconditions.
        let root = unsafe { libc::geteuid() } == 0;
        if !root {
            println!("skipped: only root can change to another user");
        }
        root
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_finds_the_alert_on_its_standard_input_and_is_heard() {
        if !is_root() {
            return;
        }
        let (program, arguments) = shell("cat; echo done >&2; exit 3", SOON);
        let input = "x".repeat(200_000);
        let ended = run(&program, &arguments, &input).unwrap();
        assert_eq!(ended.status.unwrap().code(), Some(3));
        assert!(ended.said.starts_with("xxx") && ended.said.len() <= 2 * OUTPUT_MAX);
        assert!(!ended.is_success());
    }

    #[test]
    fn what_a_program_started_does_not_outlive_it() {
        if !is_root() {
            return;
        }
        let (program, arguments) = shell("sleep 1000 & echo $!", SOON);
        let ended = run(&program, &arguments, "").unwrap();
        assert!(ended.is_success());
        let pid = ended.said.trim();
        let status = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let deadline = Instant::now() + SOON;
        while !status().is_empty() && !status().contains(") Z") {
            assert!(Instant::now() < deadline, "{}", status());
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_program_that_takes_too_long_is_killed() {
        if !is_root() {
            return;
        }
        let (program, arguments) = shell("trap '' TERM; sleep 1000", Duration::from_millis(200));
        let begin = Instant::now();
        let ended = run(&program, &arguments, "").unwrap();
        assert!(ended.status.is_none() && begin.elapsed() < SOON);
        assert!(ended.in_words(&program).contains("took longer"));
    }

    #[test]
    fn a_program_has_no_privileges_no_environment_and_no_files() {
        if !is_root() {
            return;
        }
        let leak = fs::File::open("/etc/passwd").unwrap();
        // SAFETY: a descriptor of ours.
        unsafe { libc::fcntl(leak.as_raw_fd(), libc::F_SETFD, 0) };
        let (mut program, arguments) = shell(
            "env; grep -E '^(Uid|Groups|CapEff|CapPrm|NoNewPrivs)' /proc/self/status; ls /proc/$$/fd | wc -l",
            SOON,
        );
        program.user = "nobody".into();
        let said = run(&program, &arguments, "").unwrap().said;
        assert!(
            !said.contains("HOME") && said.contains("NoNewPrivs:\t1"),
            "{said}"
        );
        assert!(said.contains("CapEff:\t0000000000000000"), "{said}");
        assert!(said.contains("CapPrm:\t0000000000000000"), "{said}");
        assert!(!said.contains("Uid:\t0"), "{said}");
        let open: u32 = said
            .trim()
            .rsplit('\n')
            .next()
            .unwrap()
            .trim()
            .parse()
            .unwrap();
        assert!(open <= 4, "{said}");
    }

    #[test]
    fn a_user_that_is_not_there_is_named() {
        let passwd = b"root:x:0:0::/:/bin/sh\nbackup:x:34:34::/:/bin/sh\n";
        assert_eq!(user("backup", passwd).unwrap(), User { uid: 34, gid: 34 });
        assert_eq!(user("34", passwd).unwrap().gid, 34);
        assert!(
            user("ghost", passwd)
                .unwrap_err()
                .to_string()
                .contains("ghost")
        );
    }

    #[test]
    fn what_an_alert_does_not_say_is_an_empty_argument() {
        let run = Run {
            program: "/bin/page".into(),
            arguments: [
                Argument::Text("--about".into()),
                Argument::Of(crate::respond::playbook::Placeholder::Peer),
            ]
            .into(),
            timeout: SOON,
            user: "nobody".into(),
        };
        let process = made_up::process(ProcessKey::new(7, 0));
        let event = made_up::event(process, 1, crate::event::Action::Fork);
        assert_eq!(command_line(&run, &event), ["/bin/page", "--about", ""]);
    }
}
