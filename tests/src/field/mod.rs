//! A field for tests of the firewall: this host and another, each in a network namespace of its
//! own, with a cable between them; a control group and pins for the firewall alone. Nothing of it
//! touches the machine's own network, and all of it is gone afterwards. What is tested is not
//! known here.

pub mod login;
pub mod netlink;
pub mod probe;

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::sensor_binary;

/// A network namespace.
#[derive(Debug)]
pub struct Namespace(OwnedFd);

impl Namespace {
    /// A new one, with loopback up.
    ///
    /// # Errors
    /// When that is not allowed.
    pub fn new() -> Result<Self> {
        let made = thread::spawn(|| -> Result<Self> {
            crate::network::private()?;
            Ok(Self(File::open("/proc/thread-self/ns/net")?.into()))
        });
        made.join().unwrap_or_else(|_| bail!("a thread panicked"))
    }

    /// Does something in it. Sockets that are made there stay there.
    ///
    /// # Panics
    /// When what is done panics, or the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let thread = scope.spawn(|| {
                // A test that goes on in the wrong namespace must not.
                assert!(
                    enter(self.0.as_raw_fd()).is_ok(),
                    "cannot enter a namespace"
                );
                work()
            });
            match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// Has a program started in it.
    pub fn start_in<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let fd = self.0.as_raw_fd();
        // SAFETY: only a system call is made between fork and exec.
        unsafe { command.pre_exec(move || enter(fd)) }
    }
}

fn enter(namespace: i32) -> io::Result<()> {
    // SAFETY: no memory is passed; only this thread is moved.
    match unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Addresses on the field: of this host, of the other one, and of those behind it, which are what
/// is blocked.
pub mod at {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

    const fn four(net: [u8; 3], last: u8) -> IpAddr {
        let [a, b, c] = net;
        IpAddr::V4(Ipv4Addr::new(a, b, c, last))
    }
    const fn six(net: u16, last: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, last))
    }

    /// This host.
    pub const HERE: IpAddr = four([192, 0, 2], 1);
    /// This host.
    pub const HERE6: IpAddr = six(1, 1);
    /// The other one, who is never blocked.
    pub const THERE: IpAddr = four([192, 0, 2], 2);
    /// The other one.
    pub const THERE6: IpAddr = six(1, 2);
    /// Who is blocked.
    pub const FOE: IpAddr = four([203, 0, 113], 7);
    /// Who is blocked.
    pub const FOE6: IpAddr = six(2, 7);
    /// The other's second address, from where the operator comes.
    pub const FRIEND: IpAddr = four([198, 51, 100], 9);
    /// This host, on the VLAN.
    pub const HERE_TAGGED: IpAddr = four([192, 0, 2], 129);
    /// The other host on the VLAN.
    pub const THERE_TAGGED: IpAddr = four([192, 0, 2], 130);
    /// Who is blocked, on the VLAN.
    pub const FOE_TAGGED: IpAddr = four([203, 0, 113], 71);
}

/// Which host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// This one, which has the firewall.
    Here,
    /// The other one.
    There,
}

/// The field. One at a time: the test process moves to its control group and back.
pub struct Field {
    here: Namespace,
    there: Namespace,
    /// Whether this kernel has VLANs.
    pub has_vlan: bool,
    directory: tempfile::TempDir,
    pins: PathBuf,
    group: PathBuf,
    home: PathBuf,
    _alone: MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

impl Field {
    /// Prepares it; `further` is added to the `[respond]` table of the sensor's configuration.
    ///
    /// # Errors
    /// When this machine cannot have it.
    pub fn new(further: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let name = format!(
            "sensor-test-{}-{}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        let root = hierarchy()?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
        let mut this = Self {
            here: Namespace::new()?,
            there: Namespace::new()?,
            has_vlan: false,
            directory: tempfile::tempdir()?,
            pins: Path::new("/sys/fs/bpf").join(&name),
            group: root.join(&name),
            home: root.join(own.context("not in the unified hierarchy")?),
            _alone: alone,
        };
        fs::create_dir(&this.group).context("no control group of our own")?;
        this.lay_cable()?;
        fs::write(
            this.config(),
            format!(
                "runtime_directory = {:?}\nstate_directory = {:?}\n\
                 [respond]\npins = {:?}\ncontrol_group = {:?}\n{further}\n",
                this.directory.path().join("run"),
                this.directory.path().join("state"),
                this.pins,
                this.group,
            ),
        )?;
        Ok(this)
    }

    fn lay_cable(&mut self) -> Result<()> {
        let there = self.there.0.as_fd();
        self.has_vlan = self.here.inside(|| -> Result<bool> {
            netlink::cable("cable", "cable", there).context("no veth")?;
            netlink::set_up("cable", true)?;
            netlink::address("cable", at::HERE, 25)?;
            netlink::address("cable", at::HERE6, 64)?;
            let has_vlan = netlink::vlan("tagged", "cable", 7).is_ok();
            if has_vlan {
                netlink::set_up("tagged", true)?;
                netlink::address("tagged", at::HERE_TAGGED, 25)?;
            }
            Ok(has_vlan)
        })?;
        let has_vlan = self.has_vlan;
        self.there.inside(|| -> Result<()> {
            netlink::set_up("cable", true)?;
            netlink::address("cable", at::THERE, 25)?;
            netlink::address("cable", at::THERE6, 64)?;
            for (address, prefix) in [(at::FOE, 32), (at::FOE6, 128), (at::FRIEND, 32)] {
                netlink::address("cable", address, prefix)?;
            }
            if has_vlan {
                netlink::vlan("tagged", "cable", 7)?;
                netlink::set_up("tagged", true)?;
                netlink::address("tagged", at::THERE_TAGGED, 25)?;
                netlink::address("tagged", at::FOE_TAGGED, 32)?;
            }
            Ok(())
        })?;
        self.here.inside(|| -> Result<()> {
            netlink::route(at::FOE, 32, at::THERE)?;
            netlink::route(at::FRIEND, 32, at::THERE)?;
            netlink::route(at::FOE6, 128, at::THERE6)?;
            if has_vlan {
                netlink::route(at::FOE_TAGGED, 32, at::THERE_TAGGED)?;
            }
            Ok(())
        })
    }

    /// Does something on one of the hosts. Sockets that are made there belong to it: only those
    /// here are in the control group that the firewall judges.
    ///
    /// # Panics
    /// When what is done panics, or the host cannot be entered.
    pub fn on<T: Send>(&self, side: Side, work: impl FnOnce() -> T + Send) -> T {
        match side {
            Side::There => self.there.inside(work),
            Side::Here => {
                let _guest = Guest::of(self);
                self.here.inside(work)
            }
        }
    }

    /// Has a program started on this host.
    pub fn start_here<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        let group = self.group.join("cgroup.procs");
        self.here.start_in(command);
        // SAFETY: a path is opened and written to between fork and exec; nothing there waits for
        // a lock that another thread of the parent may have held.
        unsafe { command.pre_exec(move || fs::write(&group, "0")) }
    }

    /// Has a program started on the other host.
    pub fn start_there<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        self.there.start_in(command)
    }

    /// Configuration of the sensor here.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.directory.path().join("sensor.toml")
    }

    /// A directory that goes with the field.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Where the firewall is pinned.
    #[must_use]
    pub fn pins(&self) -> &Path {
        &self.pins
    }

    /// The control group that the firewall judges.
    #[must_use]
    pub fn group(&self) -> &Path {
        &self.group
    }

    /// A command of the sensor, to be run here.
    ///
    /// # Errors
    /// When there is no sensor to test.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(sensor_binary()?);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.config())
            .env_remove("SSH_CONNECTION")
            .env_remove("SUDO_USER");
        self.start_here(&mut command);
        Ok(command)
    }

    /// Runs a command of the sensor here.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.command(arguments)?.output()?)
    }

    /// Runs a command that must succeed, and gives what it says in JSON, line by line.
    ///
    /// # Errors
    /// When it fails.
    pub fn done(&self, arguments: &[&str]) -> Result<Vec<Value>> {
        let mut arguments = arguments.to_vec();
        arguments.push("--json");
        let output = self.run(&arguments)?;
        if !output.status.success() {
            bail!("{arguments:?}: {}: {}", output.status, said(&output));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().map(serde_json::from_str);
        Ok(lines.collect::<Result<_, _>>()?)
    }

    /// What is in force.
    ///
    /// # Errors
    /// When it is not told.
    pub fn blocks(&self) -> Result<Value> {
        let lines = self.done(&["blocks"])?;
        lines.into_iter().next().context("no listing")
    }
}

/// What a command said, wherever.
#[must_use]
pub fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// The test process while it is in the control group.
struct Guest<'f>(&'f Field);

impl<'f> Guest<'f> {
    fn of(field: &'f Field) -> Self {
        assert!(
            move_to(&field.group).is_ok(),
            "cannot enter the control group"
        );
        Self(field)
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        let _ = move_to(&self.0.home);
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        // Each of these may not be there.
        let _ = fs::remove_dir_all(&self.pins);
        for entry in fs::read_dir(&self.group).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(entry.path());
        }
        // Processes of a test that failed may take a moment to end.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                break;
            }
            thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Moves this process to a control group.
fn move_to(group: &Path) -> io::Result<()> {
    fs::write(group.join("cgroup.procs"), std::process::id().to_string())
}

/// Where the unified hierarchy is mounted.
fn hierarchy() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let mount = mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let mut fields = place.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (root == "/" && kind.starts_with("cgroup2 ")).then(|| PathBuf::from(point))
    });
    mount.context("no cgroup2 file system is mounted")
}
