//! What is left out before it costs anything, as user space says through maps (see
//! `sensor_common::filter`): cheapest checks first, no map is looked at that is empty.
//! Nothing here knows one event from another.

use aya_ebpf::helpers::generated::{
    bpf_get_current_cgroup_id, bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
};
use aya_ebpf::macros::map;
use aya_ebpf::maps::lpm_trie::Key;
use aya_ebpf::maps::{Array, HashMap, LpmTrie};
use sensor_common::filter::{
    DROP, HAS_CGROUPS, HAS_COMMS, HAS_PREFIXES, HAS_SUFFIXES, HAS_UIDS, HAS_WATCHED, InodeKey,
    PREFIX_MAX, PREFIXES_MAX, PSEUDO, PrefixKey, REPORT, SUBJECTS_MAX, SUFFIX_MAX, SUFFIXES_MAX,
    Settings, SuffixKey, WATCH_CHILDREN, WATCH_SELF, WATCHED_MAX, watch_bit,
};
use sensor_common::limits::COMM_LEN;

use crate::emit::Path;
use crate::fact;
use crate::kernel::{Address, Memory, sensor_pid, task};

#[map]
static SETTINGS: Array<Settings> = Array::with_max_entries(1, 0);
#[map]
static PATH_PREFIXES: LpmTrie<PrefixKey, u32> = LpmTrie::with_max_entries(PREFIXES_MAX, 0);
#[map]
static PATH_SUFFIXES: LpmTrie<SuffixKey, u32> = LpmTrie::with_max_entries(SUFFIXES_MAX, 0);
#[map]
static COMMS: HashMap<[u8; COMM_LEN], u32> = HashMap::with_max_entries(SUBJECTS_MAX, 0);
#[map]
static UIDS: HashMap<u32, u32> = HashMap::with_max_entries(SUBJECTS_MAX, 0);
#[map]
static CGROUPS: HashMap<u64, u32> = HashMap::with_max_entries(SUBJECTS_MAX, 0);
#[map]
static WATCHED: HashMap<InodeKey, u32> = HashMap::with_max_entries(WATCHED_MAX, 0);

/// The filters as they are now.
#[derive(Clone, Copy)]
pub struct Filter(&'static Settings);

impl Filter {
    /// `None` never happens, but the verifier wants to see it considered.
    #[inline(always)]
    pub fn now() -> Option<Self> {
        // The element is there as long as the map, and that as long as the program.
        SETTINGS
            .get_ptr(0)
            .map(|settings| Self(unsafe_static(settings)))
    }

    #[inline(always)]
    fn has(self, flags: u32) -> bool {
        self.0.flags & flags != 0
    }

    /// Whether the running process is one whose doings are not reported; the sensor is one,
    /// or each event it writes could make the next.
    #[inline(always)]
    pub fn excludes_process(self) -> bool {
        // SAFETY: the helper has no preconditions.
        if (unsafe { bpf_get_current_pid_tgid() } >> 32) as u32 == sensor_pid() {
            return true;
        }
        if !self.has(HAS_COMMS | HAS_UIDS | HAS_CGROUPS) {
            return false;
        }
        if self.has(HAS_UIDS) {
            // SAFETY: the helper has no preconditions.
            let uid = unsafe { bpf_get_current_uid_gid() } as u32;
            if UIDS.get_ptr(uid).is_some() {
                return true;
            }
        }
        if self.has(HAS_COMMS) {
            if COMMS.get_ptr(task::padded_comm(task::current())).is_some() {
                return true;
            }
        }
        if self.has(HAS_CGROUPS) {
            // SAFETY: the helper has no preconditions.
            let cgroup = unsafe { bpf_get_current_cgroup_id() };
            if CGROUPS.get_ptr(cgroup).is_some() {
                return true;
            }
        }
        false
    }

    /// Whether nothing in a file system of this magic number can be reported, so that its
    /// path need not be found.
    #[inline(always)]
    pub fn excludes_file_system(self, magic: u32) -> bool {
        !self.has(PSEUDO | HAS_PREFIXES | HAS_SUFFIXES) && is_pseudo(magic)
    }

    /// Whether a file at this path, in a file system of this magic number, is to be reported.
    #[inline(always)]
    pub fn admits(self, path: Path, magic: u32) -> bool {
        let mut said = 0;
        if self.has(HAS_PREFIXES) {
            let used = if path.len < PREFIX_MAX {
                path.len + 1
            } else {
                PREFIX_MAX
            };
            said |= path
                .key(used)
                .and_then(|key| PATH_PREFIXES.get(key))
                .copied()
                .unwrap_or(0);
        }
        if self.has(HAS_SUFFIXES) {
            let used = if path.len < SUFFIX_MAX {
                path.len
            } else {
                SUFFIX_MAX
            };
            let ending = [path.ending::<0>(), path.ending::<1>(), path.ending::<2>()];
            // SAFETY: both are 24 bytes of plain data.
            let ending = unsafe { core::mem::transmute::<[u64; 3], SuffixKey>(ending) };
            let key = Key::new(8 * used as u32, ending);
            said |= PATH_SUFFIXES.get(key).copied().unwrap_or(0);
        }
        if said & REPORT != 0 {
            return true;
        }
        said & DROP == 0 && (self.has(PSEUDO) || !is_pseudo(magic))
    }

    /// Whether anything is watched at all.
    #[inline(always)]
    pub fn watches_any(self) -> bool {
        self.has(HAS_WATCHED)
    }

    /// Whether reading the file of this dentry, or any file in its directory, is watched.
    #[inline(always)]
    pub fn watches<M: Memory>(self, inode: Address, dentry: Address) -> bool {
        let directory = M::follow(M::follow(dentry, fact!(dentry_parent)), fact!(dentry_inode));
        self.is_watched::<M>(inode, WATCH_SELF) || self.is_watched::<M>(directory, WATCH_CHILDREN)
    }

    #[inline(always)]
    fn is_watched<M: Memory>(self, inode: Address, what: u32) -> bool {
        let number: u64 = M::read(inode, fact!(inode_ino));
        let (word, bit) = watch_bit(number);
        if self.0.watched.get(word).is_none_or(|bits| bits & bit == 0) {
            return false;
        }
        let dev = M::read(M::follow(inode, fact!(inode_sb)), fact!(sb_dev));
        let key = InodeKey {
            inode: number,
            dev,
            reserved: 0,
        };
        // SAFETY: a word, written at once.
        unsafe { WATCHED.get(key) }.is_some_and(|bits| bits & what != 0)
    }
}

#[inline(always)]
fn unsafe_static(settings: *const Settings) -> &'static Settings {
    // SAFETY: an element of an array map outlives every program that uses the map; user space
    // may change it meanwhile, a word at a time, and each word makes sense alone.
    unsafe { &*settings }
}

/// File systems that are the kernel's way to show itself, not places to keep files
/// (`include/uapi/linux/magic.h`). EFI variables are not among them: they last.
#[inline(always)]
fn is_pseudo(magic: u32) -> bool {
    matches!(
        magic,
        0x9fa0 // proc
            | 0x6265_6572 // sysfs
            | 0x0027_e0eb // cgroup
            | 0x6367_7270 // cgroup2
            | 0x7472_6163 // tracefs
            | 0x6462_6720 // debugfs
            | 0xcafe_4a11 // bpf
            | 0x7363_6673 // securityfs
            | 0xf97c_ff8c // selinux
            | 0x6265_6570 // configfs
            | 0x1980_0202 // mqueue
            | 0x6573_5543 // fusectl
            | 0x0765_5821 // resctrl
            | 0x0904_1934 // anonymous inodes
    )
}
