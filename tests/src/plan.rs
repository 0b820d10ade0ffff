//! What the generator does, operation by operation: every name, argument and number follows
//! from the seed and the index, so that the generator and the test that judges the sensor agree
//! without a word between them.

/// Exit status of the child number `index`.
#[must_use]
pub const fn exit_status(index: u64) -> u8 {
    (index % 128) as u8
}

/// Arguments of the program executed by child number `index`, its name not included. Some are
/// what breaks careless decoders: empty, with spaces, quotes, line ends, not ASCII.
#[must_use]
pub fn arguments(seed: u64, index: u64) -> Vec<String> {
    let odd = [
        "",
        "two words",
        "it's",
        "\"quoted\"",
        "line\nend",
        "tab\t",
        "grün",
        "$(id)",
        "-",
        "\\",
    ];
    let pick = number(seed, index, 1) as usize % odd.len();
    let filler = "x".repeat(number(seed, index, 2) as usize % 300);
    vec![
        index.to_string(),
        exit_status(index).to_string(),
        word(seed, index),
        odd.get(pick).copied().unwrap_or_default().to_owned(),
        filler,
    ]
}

/// Name of memory file number `index`.
#[must_use]
pub fn memfd_name(seed: u64, index: u64) -> String {
    format!("{}-{index}", word(seed, index))
}

/// Flags of memory file number `index`: `MFD_CLOEXEC`, `MFD_ALLOW_SEALING`.
#[must_use]
pub const fn memfd_flags(index: u64) -> u32 {
    (index % 4) as u32
}

/// Name of file number `index`.
#[must_use]
pub fn file_name(seed: u64, index: u64) -> String {
    format!("{}-{index}.txt", word(seed, index))
}

/// Name that file number `index` is given later.
#[must_use]
pub fn file_new_name(seed: u64, index: u64) -> String {
    format!("{}-{index}.new", word(seed, index))
}

/// Most bytes written to a file.
pub const FILE_MAX: usize = 5_000;

/// How many bytes are written to file number `index`.
#[must_use]
pub fn file_bytes(seed: u64, index: u64) -> usize {
    number(seed, index, 3) as usize % FILE_MAX
}

/// Longest message sent over a connection, in bytes.
pub const MESSAGE_MAX: usize = 2_000;

/// How many bytes are sent over connection number `index`.
#[must_use]
pub fn message_bytes(seed: u64, index: u64) -> usize {
    number(seed, index, 4) as usize % MESSAGE_MAX
}

/// What file number `index` is given as permissions.
#[must_use]
pub fn file_mode(seed: u64, index: u64) -> u32 {
    (number(seed, index, 5) as u32 % 0o10000) | 0o600
}

/// What file number `index` is given as owner and group.
#[must_use]
pub fn file_owner(seed: u64, index: u64) -> (u32, u32) {
    (
        number(seed, index, 6) as u32 % 60_000,
        number(seed, index, 7) as u32 % 60_000,
    )
}

/// How long file number `index` is made afterwards, in bytes.
#[must_use]
pub fn file_length(seed: u64, index: u64) -> u64 {
    number(seed, index, 8) % 10_000
}

/// Name of control group number `index`.
#[must_use]
pub fn group_name(seed: u64, index: u64) -> String {
    format!("generated-{}-{index}", word(seed, index))
}

/// Source of mount number `index`.
#[must_use]
pub fn mount_source(seed: u64, index: u64) -> String {
    format!("source-{}-{index}", word(seed, index))
}

/// Letters, eight of them.
fn word(seed: u64, index: u64) -> String {
    let mut rest = number(seed, index, 0);
    (0..8)
        .map(|_| {
            let letter = b'a' + (rest % 26) as u8;
            rest /= 26;
            char::from(letter)
        })
        .collect()
}

/// A number that looks random (splitmix64).
fn number(seed: u64, index: u64, salt: u64) -> u64 {
    let mut z = seed.wrapping_mul(0xa076_1d64_78bd_642f).wrapping_add(
        index
            .wrapping_mul(3)
            .wrapping_add(salt)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15),
    );
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_plans_the_same_and_another_something_else() {
        assert_eq!(arguments(7, 3), arguments(7, 3));
        assert_ne!(word(7, 3), word(8, 3));
        assert_ne!(word(7, 3), word(7, 4));
    }
}
