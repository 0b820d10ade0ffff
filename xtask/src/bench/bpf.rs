//! The kernel's own statistics of BPF programs: switched on for as long as somebody holds them,
//! read for the programs of one process. What is made of the numbers is in `programs`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use anyhow::{Context, Result, bail};

// Commands of bpf(2), `enum bpf_cmd` in include/uapi/linux/bpf.h.
const BPF_PROG_GET_NEXT_ID: libc::c_int = 11;
const BPF_PROG_GET_FD_BY_ID: libc::c_int = 13;
const BPF_OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const BPF_ENABLE_STATS: libc::c_int = 32;

/// Statistics are on until this is dropped, however we end.
pub(super) struct Statistics(#[expect(dead_code, reason = "held, not used")] OwnedFd);

impl Statistics {
    /// Switches them on: `BPF_STATS_RUN_TIME`, which the kernel has since 5.8.
    pub(super) fn enable() -> Result<Self> {
        const BPF_STATS_RUN_TIME: u32 = 0;
        let fd = bpf(BPF_ENABLE_STATS, &mut BPF_STATS_RUN_TIME.to_ne_bytes());
        let fd = fd.context("the kernel keeps no statistics of BPF programs")?;
        // SAFETY: the kernel has just given us this descriptor.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }
}

/// Runs of a program so far.
#[derive(Clone, Copy, Default, PartialEq)]
pub(super) struct Runs {
    pub(super) count: u64,
    pub(super) ns: u64,
    /// Not run because it was already running on that CPU; counted since 5.12.
    pub(super) missed: u64,
}

impl Runs {
    /// Those since an earlier look.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            count: self.count.saturating_sub(before.count),
            ns: self.ns.saturating_sub(before.ns),
            missed: self.missed.saturating_sub(before.missed),
        }
    }
}

/// The BPF programs a process holds.
pub(super) struct Programs(Vec<(String, OwnedFd)>);

impl Programs {
    /// Finds them by its descriptors.
    pub(super) fn of(pid: u32) -> Result<Self> {
        let dir = format!("/proc/{pid}/fdinfo");
        let entries = fs::read_dir(&dir).with_context(|| format!("cannot list {dir}"))?;
        let mut programs = BTreeMap::new();
        for entry in entries.flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            // A link to a program names it as well.
            if !text.contains("prog_jited:") {
                continue;
            }
            let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
            if let Some(Ok(id)) = id.map(|id| id.trim().parse::<u32>()) {
                programs.insert(id, open(id)?);
            }
        }
        let named = programs.into_values().map(|fd| Ok((info(&fd)?.name, fd)));
        let mut named = named.collect::<Result<Vec<_>>>()?;
        named.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(named))
    }

    /// Their names, of which the kernel keeps 15 characters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Their runs so far, in the order of the names.
    pub(super) fn look(&self) -> Result<Vec<Runs>> {
        self.0.iter().map(|(_, fd)| Ok(info(fd)?.runs)).collect()
    }
}

/// How many programs that observe the kernel are loaded, by anybody. Where there are some beside
/// ours, nobody knows what the work alone would have taken.
pub(super) fn observers() -> Result<usize> {
    // Kprobe, tracepoint, perf event, raw tracepoint (two kinds), tracing: `enum bpf_prog_type`.
    const OBSERVING: [u32; 6] = [2, 5, 7, 17, 24, 26];
    let mut count = 0;
    let mut id = 0_u32;
    loop {
        // `start_id`, `next_id`, `open_flags`.
        let mut attributes = [id, 0, 0].map(u32::to_ne_bytes).concat();
        if bpf(BPF_PROG_GET_NEXT_ID, &mut attributes).is_err() {
            return Ok(count);
        }
        let next = attributes.get(4..8).context("no next program")?;
        id = u32::from_ne_bytes(next.try_into()?);
        // It may be gone by now.
        let kind = open(id).and_then(|fd| Ok(info(&fd)?.kind));
        count += usize::from(kind.is_ok_and(|kind| OBSERVING.contains(&kind)));
    }
}

fn open(id: u32) -> Result<OwnedFd> {
    // `prog_id`, `next_id`, `open_flags`.
    let mut attributes = [id, 0, 0].map(u32::to_ne_bytes).concat();
    let fd = bpf(BPF_PROG_GET_FD_BY_ID, &mut attributes);
    let fd = fd.with_context(|| format!("cannot open BPF program {id}"))?;
    // SAFETY: the kernel has just given us this descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What the kernel says of a program.
struct Info {
    /// `enum bpf_prog_type`.
    kind: u32,
    name: String,
    runs: Runs,
}

/// Reads `struct bpf_prog_info` (include/uapi/linux/bpf.h), to which newer kernels only add;
/// what an older one does not know stays zero.
fn info(fd: &OwnedFd) -> Result<Info> {
    const NAME: usize = 64;
    const NAME_LEN: usize = 16;
    const RUN_TIME_NS: usize = 192;
    const RUN_CNT: usize = 200;
    const RECURSION_MISSES: usize = 208;
    const SIZE: usize = 232;

    let mut info = [0_u8; SIZE];
    // `bpf_fd`, `info_len`, and `info`, which is a pointer.
    let mut attributes = Vec::new();
    attributes.extend_from_slice(&fd.as_raw_fd().to_ne_bytes());
    attributes.extend_from_slice(&(SIZE as u32).to_ne_bytes());
    attributes.extend_from_slice(&(info.as_mut_ptr() as u64).to_ne_bytes());
    bpf(BPF_OBJ_GET_INFO_BY_FD, &mut attributes).context("no information on a BPF program")?;

    let number = |at: usize| {
        let bytes = info.get(at..at + 8)?;
        Some(u64::from_ne_bytes(bytes.try_into().ok()?))
    };
    let name = info.get(NAME..NAME + NAME_LEN).unwrap_or_default();
    let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
    let runs = Runs {
        count: number(RUN_CNT).unwrap_or(0),
        ns: number(RUN_TIME_NS).unwrap_or(0),
        missed: number(RECURSION_MISSES).unwrap_or(0),
    };
    let kind = info.get(..4).unwrap_or_default();
    Ok(Info {
        kind: kind.try_into().map_or(0, u32::from_ne_bytes),
        name: String::from_utf8_lossy(name).into_owned(),
        runs,
    })
}

/// The system call. Pointers in the attributes must be valid for what the command does with them.
fn bpf(command: libc::c_int, attributes: &mut [u8]) -> Result<i32> {
    // SAFETY: the attributes are as long as said; see above for what they point to.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            attributes.as_mut_ptr(),
            attributes.len(),
        )
    };
    if result < 0 {
        bail!(io::Error::last_os_error())
    }
    Ok(i32::try_from(result)?)
}
