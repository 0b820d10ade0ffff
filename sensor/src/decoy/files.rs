//! Decoy files that are made where they are not there: content that looks worth stealing and is
//! worth nothing, made anew for each, in a file that looks as if it had been there for long. A
//! file that is there is never touched.

use std::fmt::Write as _;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// How long ago a file says it was changed, in days.
const AGE_DAYS: u64 = 211;

/// Makes a file unless it is there; whether it was made.
///
/// # Errors
/// When it cannot be made, or its directory is not there.
pub fn lay_out(path: &Path) -> io::Result<bool> {
    let made = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let mut file = match made {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    file.write_all(content(&name, &mut Random::open()?).as_bytes())?;
    let then = SystemTime::now() - Duration::from_secs(AGE_DAYS * 86_400 + 7_331);
    file.set_modified(then)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(true)
}

/// What a file of this name would hold.
fn content(name: &str, random: &mut Random) -> String {
    let lower = name.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    if has(&["id_rsa", "id_ed25519", "id_ecdsa", ".pem", ".key"]) {
        return key(random);
    }
    if has(&["credentials", "aws"]) {
        return format!(
            "[default]\naws_access_key_id = AKIA{}\naws_secret_access_key = {}\nregion = eu-central-1\n",
            random.text(16, UPPER),
            random.text(40, ANY),
        );
    }
    if has(&[
        ".env", "config", "settings", ".ini", ".conf", ".yml", ".yaml",
    ]) {
        return format!(
            "DB_HOST=10.0.3.14\nDB_USER=backup\nDB_PASSWORD={}\nAPI_TOKEN={}\n",
            random.text(18, ANY),
            random.text(40, LOWER),
        );
    }
    if has(&[".sql", "dump"]) {
        let mut dump = "-- MySQL dump 10.19\nINSERT INTO `users` VALUES\n".to_owned();
        for number in 1..=12 {
            let end = if number == 12 { ';' } else { ',' };
            let _ = writeln!(
                dump,
                "({number},'user{number}@example.com','$2y$10${}'){end}",
                random.text(53, ANY)
            );
        }
        return dump;
    }
    let mut lines = String::new();
    for account in ["root", "backup", "vpn-admin", "mysql", "gitlab"] {
        let _ = writeln!(lines, "{account}\t{}", random.text(14, ANY));
    }
    lines
}

/// Looks like a private key, and is none.
fn key(random: &mut Random) -> String {
    let mut text = "-----BEGIN OPENSSH PRIVATE KEY-----\n".to_owned();
    for _ in 0..25 {
        text.push_str(&random.text(70, ANY));
        text.push('\n');
    }
    text + "-----END OPENSSH PRIVATE KEY-----\n"
}

const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LOWER: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const ANY: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Random letters.
struct Random(io::Take<fs::File>);

impl Random {
    fn open() -> io::Result<Self> {
        use io::Read as _;
        Ok(Self(fs::File::open("/dev/urandom")?.take(64 * 1024)))
    }

    /// So many of an alphabet, whose size is a power of two.
    fn text(&mut self, length: usize, alphabet: &[u8]) -> String {
        use io::Read as _;
        let mut bytes = vec![0; length];
        // Were there none, the content would be dull and not wrong.
        let _ = self.0.read_exact(&mut bytes);
        let letter = |byte: u8| alphabet.get(usize::from(byte) % alphabet.len()).copied();
        bytes
            .into_iter()
            .filter_map(letter)
            .map(char::from)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("id_rsa");
        assert!(lay_out(&path).unwrap());
        let content = fs::read_to_string(&path).unwrap();
        assert!(content.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----"));
        let metadata = fs::metadata(&path).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        assert!(metadata.modified().unwrap().elapsed().unwrap() > Duration::from_secs(86_400));
        assert!(!lay_out(&path).unwrap());
        assert_eq!(fs::read_to_string(&path).unwrap(), content);
        assert!(lay_out(&directory.path().join("no/such")).is_err());
    }

    #[test]
    fn no_two_decoys_hold_the_same() {
        let mut random = Random::open().unwrap();
        for name in [
            "passwords.txt",
            "credentials",
            ".env",
            "dump.sql",
            "server.key",
        ] {
            assert_ne!(
                content(name, &mut random),
                content(name, &mut random),
                "{name}"
            );
        }
    }
}
