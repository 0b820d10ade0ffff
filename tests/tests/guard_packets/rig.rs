//! The programs in the kernel, their maps, and packets run through them by `BPF_PROG_TEST_RUN`.
//! Attached nowhere: nothing of the machine's own traffic is touched.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail, ensure};
use aya::maps::{Array, HashMap, LpmTrie, MapData, PerCpuArray, lpm_trie::Key};
use aya::programs::Program;
use aya::{TestRun as _, TestRunOptions};
use sensor::respond::firewall::object::{self, Guard, Sizes};
use sensor_common::guard::{
    self, BITS_BEFORE_ADDRESS, EGRESS, FOREVER, Group, INGRESS, LAYOUT, LOOK_DENY_NETS4,
    LOOK_DENY_NETS4_SERVICE, LOOK_DENY4, LOOK_DENY4_SERVICE, LOOK_V6_SHIFT, State, Tally, Who4,
    Who6, tally,
};
use zerocopy::FromBytes as _;

use crate::model::{Entry, Life, Place, World};
use crate::packet::Built;

/// What an entry that holds for a while still has.
const AHEAD_NS: u64 = 3_600_000_000_000;

/// Where packets are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Xdp,
    XdpFrags,
    TcIngress,
    TcEgress,
    L3Ingress,
    L3Egress,
    SocketIngress,
    SocketEgress,
}

impl Hook {
    pub const ALL: [Self; 8] = [
        Self::Xdp,
        Self::XdpFrags,
        Self::TcIngress,
        Self::TcEgress,
        Self::L3Ingress,
        Self::L3Egress,
        Self::SocketIngress,
        Self::SocketEgress,
    ];

    fn program(self) -> &'static str {
        match self {
            Self::Xdp => "guard_xdp",
            Self::XdpFrags => "guard_xdp_frags",
            Self::TcIngress => "guard_tc_ingress",
            Self::TcEgress => "guard_tc_egress",
            Self::L3Ingress => "guard_l3_ingress",
            Self::L3Egress => "guard_l3_egress",
            Self::SocketIngress => "guard_ingress",
            Self::SocketEgress => "guard_egress",
        }
    }

    /// Whether it sees the link layer.
    pub fn sees_ethernet(self) -> bool {
        matches!(
            self,
            Self::Xdp | Self::XdpFrags | Self::TcIngress | Self::TcEgress
        )
    }

    pub fn place(self) -> Place {
        Place {
            direction: match self {
                Self::TcEgress | Self::L3Egress | Self::SocketEgress => EGRESS,
                _ => INGRESS,
            },
            knows_sockets: matches!(self, Self::SocketIngress | Self::SocketEgress),
        }
    }
}

/// Packets and bytes.
pub type Tallies = [(u64, u64); tally::LIMIT as usize];

/// The programs and what they look at. A program is loaded when it is first needed.
pub struct Rig {
    pub guard: Guard,
    /// `struct __sk_buff` as far as the interface, which must not be loopback.
    context: Vec<u8>,
    _interface: File,
    group: Cgroup,
    entries: Vec<Entry>,
    /// What had been counted when it was last looked at.
    pub told: Tallies,
}

impl Rig {
    /// Makes the maps. Moves this thread into a network of its own.
    pub fn new() -> Result<Self> {
        sensor_tests::network::private()?;
        let (interface, index) = interface()?;
        let sizes = Sizes {
            addresses: 4_096,
            networks: 4_096,
        };
        let mut context = vec![0; 40];
        context.extend(index.to_ne_bytes());
        Ok(Self {
            guard: object::load(sizes, None)?,
            context,
            _interface: interface,
            group: Cgroup::join()?,
            entries: Vec::new(),
            told: Tallies::default(),
        })
    }

    /// Makes the maps say what is in force.
    pub fn set(&mut self, world: &World) -> Result<()> {
        for entry in std::mem::take(&mut self.entries) {
            self.change(&entry, None)?;
        }
        let mut state = State {
            layout: LAYOUT,
            dry_run: world.dry_run.into(),
            isolated_until_boot_ns: world.isolated.map_or(0, until),
            ..State::default()
        };
        for entry in &world.entries {
            self.change(entry, Some(value(entry)))?;
            self.entries.push(*entry);
            if !entry.allows {
                state.looks |= look(entry);
            }
        }
        let (id, level) = (self.group.id, self.group.level);
        let mut groups: HashMap<_, u64, [u8; size_of::<Group>()]> =
            HashMap::try_from(self.map("GROUPS")?)?;
        match world.group {
            None => drop(groups.remove(&id)),
            Some(life) => {
                let group = Group {
                    until_boot_ns: until(life),
                    level,
                    ..Group::default()
                };
                groups.insert(id, bytes(&group), 0)?;
                state.group_levels = 1 << level;
            }
        }
        let mut states: Array<_, [u8; size_of::<State>()]> = Array::try_from(self.map("STATE")?)?;
        states.set(0, bytes(&state), 0)?;
        Ok(())
    }

    /// Loads the program of a hook, if that has not been done.
    fn load(&mut self, hook: Hook) -> Result<()> {
        let name = hook.program();
        match hook {
            Hook::Xdp | Hook::XdpFrags => self.guard.xdp(name).map(drop),
            Hook::SocketIngress | Hook::SocketEgress => self.guard.packets(name).map(drop),
            _ => self.guard.classifier(name).map(drop),
        }?;
        Ok(())
    }

    /// All hooks, loaded, but one for which kernels before 5.18 do not know the flag.
    pub fn hooks(&mut self) -> Result<Vec<Hook>> {
        let mut hooks = Vec::new();
        for hook in Hook::ALL {
            match self.load(hook) {
                Err(_) if hook == Hook::XdpFrags => continue,
                loaded => loaded?,
            }
            hooks.push(hook);
        }
        Ok(hooks)
    }

    /// The control group that this process is in, to attach something to.
    pub fn cgroup(&self) -> Result<File> {
        let path = &self.group.path;
        File::open(path).with_context(|| format!("cannot open {}", path.display()))
    }

    fn map(&mut self, name: &'static str) -> Result<&mut aya::maps::Map> {
        self.guard
            .0
            .map_mut(name)
            .with_context(|| format!("no map {name}"))
    }

    fn change(&mut self, entry: &Entry, value: Option<guard::Entry>) -> Result<()> {
        let value = value.map(|value| bytes::<_, { size_of::<guard::Entry>() }>(&value));
        let host = entry.prefix == if entry.network.is_ipv4() { 32 } else { 128 };
        let bits = BITS_BEFORE_ADDRESS + u32::from(entry.prefix);
        match entry.network {
            IpAddr::V4(address) => {
                let key = bytes::<_, 8>(&Who4 {
                    port: entry.port,
                    protocol: entry.protocol,
                    reserved: 0,
                    address: address.octets(),
                });
                match (entry.allows, host) {
                    (false, true) => put(self.map("DENY4")?, key, value),
                    (false, false) => put_network(self.map("DENY_NETS4")?, bits, key, value),
                    (true, _) => put_network(self.map("ALLOW4")?, bits, key, value),
                }
            }
            IpAddr::V6(address) => {
                let key = bytes::<_, 24>(&Who6 {
                    port: entry.port,
                    protocol: entry.protocol,
                    address: address.octets(),
                    ..Who6::default()
                });
                match (entry.allows, host) {
                    (false, true) => put(self.map("DENY6")?, key, value),
                    (false, false) => put_network(self.map("DENY_NETS6")?, bits, key, value),
                    (true, _) => put_network(self.map("ALLOW6")?, bits, key, value),
                }
            }
        }
    }

    /// What an IPv4 entry has counted.
    pub fn counted(&mut self, address: [u8; 4]) -> Result<guard::Entry> {
        let map: HashMap<_, [u8; 8], [u8; size_of::<guard::Entry>()]> =
            HashMap::try_from(self.map("DENY4")?)?;
        let key = Who4 {
            address,
            ..Who4::default()
        };
        let found = map.get(&bytes(&key), 0)?;
        guard::Entry::read_from_bytes(&found).map_err(|_| anyhow::anyhow!("not an entry"))
    }

    /// Runs the packet cut off after so many bytes; whether it passes.
    pub fn run(&mut self, hook: Hook, built: &Built, length: usize) -> Result<bool> {
        self.load(hook)?;
        let whole = built.frame.get(..length).context("not so long")?;
        let start = match hook {
            // As if there were no link layer.
            Hook::L3Ingress | Hook::L3Egress => built.network,
            _ => 0,
        };
        let options = TestRunOptions {
            data_in: Some(whole.get(start..).context("not so long")?),
            ctx_in: (!matches!(hook, Hook::Xdp | Hook::XdpFrags)).then_some(&self.context),
            ..TestRunOptions::default()
        };
        let program = self.guard.0.program(hook.program()).context("no program")?;
        let result = match program {
            Program::Xdp(program) => program.test_run(options),
            Program::SchedClassifier(program) => program.test_run(options),
            Program::CgroupSkb(program) => program.test_run(options),
            _ => bail!("a program of another kind"),
        };
        let result = result.with_context(|| format!("{hook:?} with {length} bytes"))?;
        // XDP_PASS, XDP_DROP; TC_ACT_UNSPEC, TC_ACT_SHOT; and of cgroup programs 1 and 0.
        match (program, result.return_value) {
            (Program::Xdp(_), 2) | (Program::SchedClassifier(_), u32::MAX) => Ok(true),
            (Program::Xdp(_), 1) | (Program::SchedClassifier(_), 2) => Ok(false),
            (Program::CgroupSkb(_), 1) => Ok(true),
            (Program::CgroupSkb(_), 0) => Ok(false),
            (_, other) => bail!("{hook:?} gives {other}"),
        }
    }

    /// All that was counted so far.
    pub fn tallies(&mut self) -> Result<Tallies> {
        let map: PerCpuArray<_, [u8; size_of::<Tally>()]> =
            PerCpuArray::try_from(self.map("TALLY")?)?;
        let mut sums = [(0, 0); tally::LIMIT as usize];
        for (reason, (packets, total)) in (0..).zip(&mut sums) {
            for cpu in map.get(&reason, 0)?.iter() {
                let tally = Tally::read_from_bytes(cpu).map_err(|_| anyhow::anyhow!("no tally"))?;
                *packets += tally.packets;
                *total += tally.bytes;
            }
        }
        Ok(sums)
    }
}

fn put<const K: usize, const V: usize>(
    map: &mut aya::maps::Map,
    key: [u8; K],
    value: Option<[u8; V]>,
) -> Result<()> {
    let mut map: HashMap<&mut MapData, [u8; K], [u8; V]> = HashMap::try_from(map)?;
    match value {
        Some(value) => map.insert(key, value, 0)?,
        None => map.remove(&key)?,
    }
    Ok(())
}

fn put_network<const K: usize, const V: usize>(
    map: &mut aya::maps::Map,
    bits: u32,
    key: [u8; K],
    value: Option<[u8; V]>,
) -> Result<()> {
    let mut map: LpmTrie<&mut MapData, [u8; K], [u8; V]> = LpmTrie::try_from(map)?;
    let key = Key::new(bits, key);
    match value {
        Some(value) => map.insert(&key, value, 0)?,
        None => map.remove(&key)?,
    }
    Ok(())
}

fn bytes<T: zerocopy::IntoBytes + zerocopy::Immutable, const N: usize>(value: &T) -> [u8; N] {
    value
        .as_bytes()
        .try_into()
        .expect("the size is that of the type")
}

fn value(entry: &Entry) -> guard::Entry {
    guard::Entry {
        until_boot_ns: until(entry.life),
        directions: entry.directions,
        flags: entry.flags,
        prefix: entry.prefix,
        ..guard::Entry::default()
    }
}

fn until(life: Life) -> u64 {
    match life {
        Life::Forever => FOREVER,
        Life::Ahead => boot_ns() + AHEAD_NS,
        Life::Over => 1,
    }
}

fn boot_ns() -> u64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a valid place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    now.tv_sec.cast_unsigned() * 1_000_000_000 + now.tv_nsec.cast_unsigned()
}

/// Where an entry that denies is looked for.
fn look(entry: &Entry) -> u32 {
    let (host, shift) = match entry.network {
        IpAddr::V4(_) => (32, 0),
        IpAddr::V6(_) => (128, LOOK_V6_SHIFT),
    };
    let look = match (entry.prefix == host, entry.protocol) {
        (true, 0) => LOOK_DENY4,
        (true, _) => LOOK_DENY4_SERVICE,
        (false, 0) => LOOK_DENY_NETS4,
        (false, _) => LOOK_DENY_NETS4_SERVICE,
    };
    look << shift
}

/// An Ethernet interface that is there as long as the file is open, and its number.
fn interface() -> Result<(File, u32)> {
    // `include/uapi/linux/if_tun.h`.
    const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
    let file = File::options()
        .read(true)
        .write(true)
        .open("/dev/net/tun")?;
    // SAFETY: all zero is a valid request, of which the flags are then set.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as i16;
    // SAFETY: the request lives through the call, and is filled in by it.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF as _, &raw mut request) };
    ensure!(
        result >= 0,
        "no interface: {}",
        std::io::Error::last_os_error()
    );
    // SAFETY: the kernel has put a terminated name there.
    let index = unsafe { libc::if_nametoindex(request.ifr_name.as_ptr()) };
    ensure!(index > 1, "the interface has no number");
    Ok((file, index))
}

/// A control group of this process's own; it is left, and removed, when this is dropped.
pub struct Cgroup {
    pub path: PathBuf,
    before: PathBuf,
    pub id: u64,
    pub level: u32,
}

impl Cgroup {
    pub fn join() -> Result<Self> {
        let root = sensor::cgroup::mount_point()?;
        let ours = fs::read_to_string("/proc/self/cgroup")?;
        let ours = ours.lines().find_map(|line| line.strip_prefix("0::/"));
        let before = root.join(ours.context("not in the unified hierarchy")?);
        let path = root.join(format!("guard-test-{}", std::process::id()));
        match fs::create_dir(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error.into());
            }
            _ => {}
        }
        let joined = Self {
            id: fs::metadata(&path)?.ino(),
            level: 1,
            path,
            before,
        };
        enter(&joined.path)?;
        Ok(joined)
    }
}

fn enter(group: &std::path::Path) -> Result<()> {
    let file = group.join("cgroup.procs");
    fs::write(&file, std::process::id().to_string())
        .with_context(|| format!("cannot enter {}", group.display()))
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let left = enter(&self.before);
        if let Err(error) = left.and_then(|()| Ok(fs::remove_dir(&self.path)?)) {
            eprintln!("{} stays: {error:#}", self.path.display());
        }
    }
}
