//! The few commands of bpf(2) that the loader library has no way to: batches of map elements,
//! links by descriptor, and what is pinned. Layouts are those of the anonymous structures of
//! `union bpf_attr`, numbers those of `enum bpf_cmd` (`include/uapi/linux/bpf.h`). What maps and
//! links are for is not known here.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use zerocopy::{FromBytes, Immutable, IntoBytes};

const MAP_LOOKUP_ELEM: libc::c_int = 1;
const MAP_UPDATE_ELEM: libc::c_int = 2;
const MAP_DELETE_ELEM: libc::c_int = 3;
const MAP_GET_NEXT_KEY: libc::c_int = 4;
const OBJ_PIN: libc::c_int = 6;
const OBJ_GET: libc::c_int = 7;
const OBJ_GET_INFO_BY_FD: libc::c_int = 15;
const MAP_LOOKUP_BATCH: libc::c_int = 24;
const MAP_UPDATE_BATCH: libc::c_int = 26;
const MAP_DELETE_BATCH: libc::c_int = 27;
const LINK_CREATE: libc::c_int = 28;
const LINK_UPDATE: libc::c_int = 29;

/// `bpf_mprog`: before all others.
const BEFORE: u32 = 1 << 3;

/// What can be part of an element: plain bytes.
pub(super) trait Plain: FromBytes + IntoBytes + Immutable + Copy {}

impl<T: FromBytes + IntoBytes + Immutable + Copy> Plain for T {}

/// `BPF_MAP_*_ELEM`, `BPF_MAP_GET_NEXT_KEY`.
#[repr(C)]
struct Element {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// `BPF_MAP_*_BATCH`.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// `BPF_OBJ_PIN`, `BPF_OBJ_GET`.
#[repr(C)]
struct Object {
    path: u64,
    fd: u32,
    flags: u32,
}

/// `BPF_OBJ_GET_INFO_BY_FD`.
#[repr(C)]
struct Info {
    fd: u32,
    length: u32,
    info: u64,
}

/// `BPF_LINK_CREATE`; what is behind the flags only for TCX, where zeros mean nobody.
#[repr(C)]
struct Create {
    program: u32,
    target: u32,
    kind: u32,
    flags: u32,
    relative: u32,
    padding: u32,
    revision: u64,
}

/// `BPF_LINK_UPDATE`.
#[repr(C)]
struct Update {
    link: u32,
    program: u32,
    flags: u32,
    old: u32,
}

/// Beginning of `struct bpf_map_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MapInfo {
    kind: u32,
    id: u32,
    /// Bytes of a key.
    pub(super) key_size: u32,
    /// Bytes of a value.
    pub(super) value_size: u32,
    /// Elements there can be.
    pub(super) max_entries: u32,
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

fn address<T: ?Sized>(of: *const T) -> u64 {
    of.cast::<u8>() as u64
}

/// # Safety
/// The structure is that of the command, and what it points to lives and is as large as the
/// kernel takes it to be.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> io::Result<libc::c_int> {
    let size = size_of::<T>();
    // SAFETY: as the caller says; the structure itself is ours to be written to.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result as libc::c_int)
}

/// # Safety
/// As for [`call`]; the command gives a descriptor.
unsafe fn descriptor<T>(command: libc::c_int, attributes: &mut T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says; the descriptor is new, and nobody else's.
    unsafe { call(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn c_path(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)
}

/// What is pinned at a path.
pub(super) fn pinned(path: &Path) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    let mut object = Object {
        path: address(path.as_ptr()),
        fd: 0,
        flags: 0,
    };
    // SAFETY: the path ends with NUL and outlives the call.
    unsafe { descriptor(OBJ_GET, &mut object) }
}

/// Pins something.
pub(super) fn pin(fd: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = c_path(path)?;
    let mut object = Object {
        path: address(path.as_ptr()),
        fd: number(fd),
        flags: 0,
    };
    // SAFETY: the path ends with NUL and outlives the call.
    unsafe { call(OBJ_PIN, &mut object).map(drop) }
}

/// What a map is like.
pub(super) fn map_info(map: BorrowedFd<'_>) -> io::Result<MapInfo> {
    let mut info = MapInfo::default();
    let mut request = Info {
        fd: number(map),
        length: size_of::<MapInfo>() as u32,
        info: address(&raw const info),
    };
    let pointer = &raw mut info;
    request.info = address(pointer.cast_const());
    // SAFETY: the structure is as long as said and outlives the call; the kernel writes no more.
    unsafe { call(OBJ_GET_INFO_BY_FD, &mut request)? };
    Ok(info)
}

fn element(map: BorrowedFd<'_>, key: u64, value: u64, flags: u64) -> Element {
    Element {
        map: number(map),
        padding: 0,
        key,
        value,
        flags,
    }
}

/// The value of a key. Key and value must be as large as the map's, which the caller has checked.
pub(super) fn get<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<Option<V>> {
    let mut value = V::new_zeroed();
    let place = (&raw mut value).cast_const();
    let mut request = element(map, address(&raw const *key), address(place), 0);
    // SAFETY: both are of the sizes of the map and outlive the call.
    match unsafe { call(MAP_LOOKUP_ELEM, &mut request) } {
        Ok(_) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets the value of a key. Sizes as for [`get`].
pub(super) fn set<K: Plain, V: Plain>(map: BorrowedFd<'_>, key: &K, value: &V) -> io::Result<()> {
    let (key, value) = (address(&raw const *key), address(&raw const *value));
    // SAFETY: both are of the sizes of the map and outlive the call.
    unsafe { call(MAP_UPDATE_ELEM, &mut element(map, key, value, 0)).map(drop) }
}

/// Removes a key, and says whether it was there. Sizes as for [`get`].
pub(super) fn remove<K: Plain>(map: BorrowedFd<'_>, key: &K) -> io::Result<bool> {
    let mut request = element(map, address(&raw const *key), 0, 0);
    // SAFETY: the key is of the size of the map's and outlives the call.
    match unsafe { call(MAP_DELETE_ELEM, &mut request) } {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The key that follows one, or the first. Sizes as for [`get`].
pub(super) fn next_key<K: Plain>(map: BorrowedFd<'_>, key: Option<&K>) -> io::Result<Option<K>> {
    let mut next = K::new_zeroed();
    let key = key.map_or(0, |key| address(&raw const *key));
    let place = (&raw mut next).cast_const();
    let mut request = element(map, key, address(place), 0);
    // SAFETY: both are of the size of the map's keys and outlive the call.
    match unsafe { call(MAP_GET_NEXT_KEY, &mut request) } {
        Ok(_) => Ok(Some(next)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Sets many. How many were set is said also when that failed in between. Sizes as for [`get`];
/// from 5.6 on for hash tables, 5.16 for tries.
pub(super) fn set_batch<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    keys: &[K],
    values: &[V],
) -> (usize, io::Result<()>) {
    let mut request = batch(map, keys.len().min(values.len()));
    request.keys = address(keys.as_ptr());
    request.values = address(values.as_ptr());
    // SAFETY: there are as many elements as said, of the sizes of the map.
    let result = unsafe { call(MAP_UPDATE_BATCH, &mut request) };
    (request.count as usize, result.map(drop))
}

/// Removes many; stops at the first that is not there. Otherwise as [`set_batch`].
pub(super) fn remove_batch<K: Plain>(map: BorrowedFd<'_>, keys: &[K]) -> (usize, io::Result<()>) {
    let mut request = batch(map, keys.len());
    request.keys = address(keys.as_ptr());
    // SAFETY: there are as many keys as said, of the size of the map's.
    let result = unsafe { call(MAP_DELETE_BATCH, &mut request) };
    (request.count as usize, result.map(drop))
}

/// Where a run over a map has got to: 4 bytes for hash tables, a key for others.
pub(super) type Place = [u64; 8];

/// Reads many, from a place on, which is moved; how many there were, and whether that was the
/// end. Sizes as for [`get`]; from 5.6 on for hash tables, 5.16 for tries. `ENOSPC` says that one
/// bucket has more than there is room for.
pub(super) fn get_batch<K: Plain, V: Plain>(
    map: BorrowedFd<'_>,
    place: &mut Option<Place>,
    keys: &mut [K],
    values: &mut [V],
) -> io::Result<(usize, bool)> {
    let mut to = Place::default();
    let mut request = batch(map, keys.len().min(values.len()));
    request.from = place.as_ref().map_or(0, |from| address(from.as_ptr()));
    request.to = address(to.as_mut_ptr().cast_const());
    request.keys = address(keys.as_mut_ptr().cast_const());
    request.values = address(values.as_mut_ptr().cast_const());
    // SAFETY: there is room for as many elements as said, of the sizes of the map; no key of ours
    // is larger than a place.
    let result = unsafe { call(MAP_LOOKUP_BATCH, &mut request) };
    *place = Some(to);
    let count = request.count as usize;
    match result {
        Ok(_) => Ok((count, false)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((count, true)),
        Err(error) => Err(error),
    }
}

fn batch(map: BorrowedFd<'_>, count: usize) -> Batch {
    Batch {
        from: 0,
        to: 0,
        keys: 0,
        values: 0,
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map: number(map),
        element_flags: 0,
        flags: 0,
    }
}

/// Where a link holds a program, by `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug)]
pub(super) enum Hook<'fd> {
    /// A control group, and the attach type.
    Group(BorrowedFd<'fd>, u32),
    /// XDP at an interface, with `XDP_FLAGS_*` (5.9).
    Xdp(u32, u32),
    /// TCX at an interface, and the attach type, before all others (6.6).
    Tcx(u32, u32),
}

/// `BPF_XDP`.
const XDP: u32 = 37;

/// Attaches a program; it stays as long as the link, which is the descriptor or a pin of it.
pub(super) fn link(program: BorrowedFd<'_>, hook: Hook<'_>) -> io::Result<OwnedFd> {
    let (target, kind, flags) = match hook {
        Hook::Group(group, kind) => (number(group), kind, 0),
        Hook::Xdp(interface, flags) => (interface, XDP, flags),
        Hook::Tcx(interface, kind) => (interface, kind, BEFORE),
    };
    let mut create = Create {
        program: number(program),
        target,
        kind,
        flags,
        relative: 0,
        padding: 0,
        revision: 0,
    };
    // SAFETY: nothing is pointed to.
    unsafe { descriptor(LINK_CREATE, &mut create) }
}

/// Puts another program of the same type in the place of a link's, without a gap.
pub(super) fn replace(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut update = Update {
        link: number(link),
        program: number(program),
        flags: 0,
        old: 0,
    };
    // SAFETY: nothing is pointed to.
    unsafe { call(LINK_UPDATE, &mut update).map(drop) }
}
