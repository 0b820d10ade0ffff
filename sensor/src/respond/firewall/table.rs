//! One map of the guard, with keys and values of their types: opened where it is pinned, read
//! and changed in batches where the kernel can. What is in it is not known here.

use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::sys::{self, Plain};

/// Elements in a batch. No bucket of a hash table has so many.
const BATCH: usize = 4_096;
/// `ENOTSUPP` of the kernel, which no libc knows.
const ENOTSUPP: i32 = 524;

/// Why a map cannot be used.
#[derive(Debug, Error)]
pub enum TableError {
    /// It cannot be opened.
    #[error("cannot open the map pinned at {}: {source}", path.display())]
    Open {
        /// Its pin.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its elements are not those of this version.
    #[error(
        "the map pinned at {} is of another version of the sensor (elements of {found:?} bytes \
         instead of {wanted:?}); lift what is blocked with that version, or remove the pins with \
         `rm -r {}`",
        path.display(),
        path.parent().and_then(Path::parent).unwrap_or(path).display()
    )]
    Layout {
        /// Its pin.
        path: PathBuf,
        /// Bytes of its keys and values.
        found: (u32, u32),
        /// Bytes of ours.
        wanted: (u32, u32),
    },
    /// There is no room left.
    #[error("{name} is full: {max} entries")]
    Full {
        /// Its name.
        name: &'static str,
        /// Entries that it has room for.
        max: u32,
    },
    /// It cannot be read or changed.
    #[error("cannot {what} {name}: {source}")]
    Access {
        /// Read or change.
        what: &'static str,
        /// Its name.
        name: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A map.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    name: &'static str,
    map: OwnedFd,
    max: u32,
    element: PhantomData<(K, V)>,
}

impl<K: Plain, V: Plain> Table<K, V> {
    /// Opens the map of that name in a directory of pins.
    pub(super) fn open(directory: &Path, name: &'static str) -> Result<Self, TableError> {
        let path = directory.join(name);
        let opened = sys::pinned(&path).and_then(|map| Ok((sys::map_info(map.as_fd())?, map)));
        let (info, map) = match opened {
            Ok(opened) => opened,
            Err(source) => return Err(TableError::Open { path, source }),
        };
        let found = (info.key_size, info.value_size);
        let wanted = (size_of::<K>() as u32, size_of::<V>() as u32);
        if found != wanted {
            return Err(TableError::Layout {
                path,
                found,
                wanted,
            });
        }
        Ok(Self {
            name,
            map,
            max: info.max_entries,
            element: PhantomData,
        })
    }

    /// Entries there can be.
    pub(super) const fn max(&self) -> u32 {
        self.max
    }

    /// The value of a key.
    pub(super) fn get(&self, key: &K) -> Result<Option<V>, TableError> {
        sys::get(self.map.as_fd(), key).map_err(|error| self.error("read", error))
    }

    /// Sets the value of a key.
    pub(super) fn set(&self, key: &K, value: &V) -> Result<(), TableError> {
        sys::set(self.map.as_fd(), key, value).map_err(|error| self.error("change", error))
    }

    /// Removes a key, and says whether it was there.
    pub(super) fn remove(&self, key: &K) -> Result<bool, TableError> {
        sys::remove(self.map.as_fd(), key).map_err(|error| self.error("change", error))
    }

    /// Sets many. How many were set is said also when that failed in between.
    pub(super) fn set_many(&self, keys: &[K], values: &[V]) -> (usize, Result<(), TableError>) {
        let mut done = 0;
        for (keys, values) in keys.chunks(BATCH).zip(values.chunks(BATCH)) {
            let (set, result) = match sys::set_batch(self.map.as_fd(), keys, values) {
                (_, Err(error)) if is_unsupported(&error) => self.set_each(keys, values),
                (set, result) => (set, result),
            };
            done += set;
            if let Err(error) = result {
                return (done, Err(self.error("change", error)));
            }
        }
        (done, Ok(()))
    }

    fn set_each(&self, keys: &[K], values: &[V]) -> (usize, io::Result<()>) {
        for (done, (key, value)) in keys.iter().zip(values).enumerate() {
            if let Err(error) = sys::set(self.map.as_fd(), key, value) {
                return (done, Err(error));
            }
        }
        (keys.len(), Ok(()))
    }

    /// Removes those that are there, and says how many these were.
    pub(super) fn remove_many(&self, keys: &[K]) -> Result<usize, TableError> {
        let mut removed = 0;
        for chunk in keys.chunks(BATCH) {
            let done = match sys::remove_batch(self.map.as_fd(), chunk) {
                (done, Ok(())) => done,
                (_, Err(error)) if is_unsupported(&error) => 0,
                // It stopped at one that is not there.
                (done, Err(_)) => done,
            };
            removed += done + self.remove_each(chunk.get(done..).unwrap_or_default())?;
        }
        Ok(removed)
    }

    fn remove_each(&self, keys: &[K]) -> Result<usize, TableError> {
        let mut removed = 0;
        for key in keys {
            removed += usize::from(self.remove(key)?);
        }
        Ok(removed)
    }

    /// Looks at each entry once; those that come or go meanwhile may be missed.
    pub(super) fn each(&self, mut look: impl FnMut(&K, &V)) -> Result<(), TableError> {
        match self.each_batch(&mut look) {
            Err(error) if is_unsupported(&error) => self.each_single(&mut look),
            result => result,
        }
        .map_err(|error| self.error("read", error))
    }

    fn each_batch(&self, look: &mut dyn FnMut(&K, &V)) -> io::Result<()> {
        let mut place = None;
        let mut keys = vec![K::new_zeroed(); BATCH];
        let mut values = vec![V::new_zeroed(); BATCH];
        loop {
            let map = self.map.as_fd();
            let (count, is_end) = sys::get_batch(map, &mut place, &mut keys, &mut values)?;
            for (key, value) in keys.iter().zip(&values).take(count) {
                look(key, value);
            }
            if is_end {
                return Ok(());
            }
        }
    }

    fn each_single(&self, look: &mut dyn FnMut(&K, &V)) -> io::Result<()> {
        let mut at: Option<K> = None;
        // Entries that are changed meanwhile must not keep this going for ever.
        for _ in 0..=self.max {
            let Some(key) = sys::next_key(self.map.as_fd(), at.as_ref())? else {
                return Ok(());
            };
            if let Some(value) = sys::get(self.map.as_fd(), &key)? {
                look(&key, &value);
            }
            at = Some(key);
        }
        Ok(())
    }

    fn error(&self, what: &'static str, source: io::Error) -> TableError {
        let name = self.name;
        match source.raw_os_error() {
            // `E2BIG` of hash tables, `ENOSPC` of tries, `ENOMEM` of both that allocate late.
            Some(libc::E2BIG | libc::ENOSPC) => TableError::Full {
                name,
                max: self.max,
            },
            _ => TableError::Access { what, name, source },
        }
    }
}

/// Whether a kernel has no batches for this type of map.
fn is_unsupported(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EOPNOTSUPP | ENOTSUPP)
    )
}
