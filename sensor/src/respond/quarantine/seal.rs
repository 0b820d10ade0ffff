//! The mask over content in quarantine: a stream of SHA-256 sums of a random key and a counter. It
//! keeps nothing secret (the key is in the card), it only makes sure that nothing takes the file
//! for what it was.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

use super::errors::Stop;
use super::metadata::to_hex;

/// A random key.
pub type Key = [u8; 32];
/// Bytes copied at a time.
const CHUNK: usize = 64 * 1024;

/// A new one.
///
/// # Errors
/// When the kernel has no random numbers.
pub fn new_key() -> io::Result<Key> {
    let mut key = Key::default();
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

struct Mask {
    key: Key,
    block: u64,
    sum: [u8; 32],
    used: usize,
}

impl Mask {
    const fn new(key: Key) -> Self {
        Self {
            key,
            block: 0,
            sum: [0; 32],
            used: 32,
        }
    }

    /// Puts it over bytes, or takes it off.
    fn apply(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.sum.len() {
                let sum = Sha256::new()
                    .chain_update(self.key)
                    .chain_update(self.block.to_le_bytes());
                self.sum = sum.finalize().into();
                self.block += 1;
                self.used = 0;
            }
            *byte ^= self.sum.get(self.used).copied().unwrap_or(0);
            self.used += 1;
        }
    }
}

fn hex(sum: Sha256) -> Box<str> {
    to_hex(&sum.finalize()).into()
}

/// Shows `each` all `size` bytes of a file, from its beginning.
fn read(
    from: &File,
    size: u64,
    mut each: impl FnMut(&mut [u8]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let mut buffer = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = from.read_at(&mut buffer, at).map_err(Stop::Read)?;
        if read == 0 {
            break;
        }
        at += read as u64;
        if at > size {
            return Err(Stop::Length);
        }
        each(buffer.get_mut(..read).unwrap_or_default())?;
    }
    if at == size {
        Ok(())
    } else {
        Err(Stop::Length)
    }
}

/// The SHA-256 of a file of this size.
///
/// # Errors
/// When it cannot be read, or has another size.
pub fn digest(from: &File, size: u64) -> Result<Box<str>, Stop> {
    let mut sum = Sha256::new();
    read(from, size, |bytes| {
        sum.update(bytes);
        Ok(())
    })?;
    Ok(hex(sum))
}

/// Copies a file of this size under the mask; gives the SHA-256 of what is under it.
///
/// # Errors
/// When that fails, or the file has another size.
pub fn copy(from: &File, mut to: &File, key: &Key, size: u64) -> Result<Box<str>, Stop> {
    let mut sum = Sha256::new();
    let mut mask = Mask::new(*key);
    read(from, size, |bytes| {
        sum.update(&bytes);
        mask.apply(bytes);
        to.write_all(bytes).map_err(Stop::Write)
    })?;
    Ok(hex(sum))
}

/// Copies what is under the mask; gives its SHA-256.
///
/// # Errors
/// As [`copy`].
pub fn uncover(from: &File, mut to: &File, key: &Key, size: u64) -> Result<Box<str>, Stop> {
    let mut sum = Sha256::new();
    let mut mask = Mask::new(*key);
    read(from, size, |bytes| {
        mask.apply(bytes);
        sum.update(&bytes);
        to.write_all(bytes).map_err(Stop::Write)
    })?;
    Ok(hex(sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mask_comes_off_in_pieces_of_any_size() {
        let content: Vec<u8> = (0..1_000_u32).map(|n| n as u8).collect();
        let mut masked = content.clone();
        Mask::new([7; 32]).apply(&mut masked);
        assert_ne!(masked, content);
        assert!(masked.windows(8).all(|eight| eight != &content[..8]));
        let mut mask = Mask::new([7; 32]);
        for piece in masked.chunks_mut(13) {
            mask.apply(piece);
        }
        assert_eq!(masked, content);
    }
}
