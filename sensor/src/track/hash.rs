//! SHA-256 of executables, off the hot path: one low-priority thread, a bounded queue, and a
//! cache by inode, size and change time. An event that comes before its hash is known goes
//! out without it; later events of the process have it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use sha2::{Digest, Sha256};

use crate::event::process::{FileIdentity, Program};
use crate::glance::is_local;

/// Executables waiting to be hashed; beyond that they stay without.
const QUEUE_MAX: usize = 1_024;
/// Hashes kept.
const CACHE_MAX: usize = 8_192;
/// Largest file hashed, in bytes.
const FILE_MAX: u64 = 512 * 1024 * 1024;

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct FileKey {
    inode: u64,
    size: u64,
    ctime_ns: u64,
}

type Cache = Arc<Mutex<HashMap<FileKey, Box<str>>>>;

struct Request {
    pid: u32,
    key: FileKey,
    program: Arc<Program>,
}

/// Hashes executables.
pub struct Hasher {
    queue: SyncSender<Request>,
    cache: Cache,
}

impl Hasher {
    /// Starts the thread; it ends with the hasher.
    ///
    /// # Errors
    /// When the thread cannot be made.
    pub fn start() -> io::Result<Self> {
        let (queue, requests) = sync_channel(QUEUE_MAX);
        let cache = Cache::default();
        let shared = Arc::clone(&cache);
        thread::Builder::new()
            .name("hasher".to_owned())
            .spawn(move || work(&requests, &shared))?;
        Ok(Self { queue, cache })
    }

    /// Sets the program's hash, now if it is known, else as soon as it is.
    /// Never for what comes from a file system that somebody else serves, who could keep us
    /// reading for ever.
    pub fn want(&self, pid: u32, file: &FileIdentity, program: &Arc<Program>) {
        if !is_local(file.fs_magic) {
            return;
        }
        let key = FileKey {
            inode: file.inode,
            size: file.size,
            ctime_ns: file.ctime_ns,
        };
        let known = self
            .cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        if let Some(hash) = known {
            let _ = program.sha256.set(hash);
        } else if self
            .queue
            .try_send(Request {
                pid,
                key,
                program: Arc::clone(program),
            })
            .is_err()
        {
            tracing::trace!(pid, "too many executables at once; this one goes unhashed");
        }
    }
}

fn work(requests: &Receiver<Request>, cache: &Cache) {
    // SAFETY: a plain system call on this thread; hashing must not take CPU from the rest.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, 10) };
    while let Ok(Request { pid, key, program }) = requests.recv() {
        let known = cache
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .cloned();
        let hash = match known.map_or_else(|| hash_of(pid, key, &program), Ok) {
            Ok(hash) => hash,
            Err(error) => {
                tracing::trace!(pid, %error, "executable not hashed");
                continue;
            }
        };
        let _ = program.sha256.set(hash.clone());
        let mut cache = cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHE_MAX {
            cache.clear();
        }
        cache.insert(key, hash);
    }
}

/// Hashes what the process runs: by its `/proc/<pid>/exe`, which also reaches deleted files
/// and other mount namespaces, or by path once it is gone; but only the very file meant.
fn hash_of(pid: u32, key: FileKey, program: &Program) -> io::Result<Box<str>> {
    let by_path = || {
        let path = program
            .executable
            .as_deref()
            .ok_or(io::ErrorKind::NotFound)?;
        open_same(path, key)
    };
    let mut file = open_same(&format!("/proc/{pid}/exe"), key).or_else(|_: io::Error| by_path())?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into_boxed_str())
}

fn open_same(path: &str, key: FileKey) -> io::Result<File> {
    // Without blocking: whoever owns the path may have put a fifo there.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    let found = file.metadata()?;
    let same = found.is_file()
        && found.ino() == key.inode
        && found.size() == key.size
        && found.size() <= FILE_MAX;
    if same {
        Ok(file)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}
