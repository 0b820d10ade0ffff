//! Names of local users and groups, read from `/etc/passwd` and `/etc/group` themselves: a
//! statically linked sensor makes no NSS calls, and none that could block on a directory
//! server. Accounts that live only in LDAP or SSSD therefore have numbers and no names. No
//! decision may rest on a name; it is there for people.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::event::text::escape_terminal;

/// Bytes read of one file at most; what is beyond is not seen.
pub const MAX_BYTES: u64 = 8 << 20;
/// Names kept per file at most.
pub const MAX_ENTRIES: usize = 65_536;
/// Longest name accepted, in bytes; `useradd` allows 256.
pub const MAX_NAME: usize = 256;

/// The names one file gives to numbers.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Names {
    by_id: HashMap<u32, Box<str>>,
    skipped: u64,
}

impl Names {
    /// Reads the text of a `passwd` or `group` file (passwd(5), group(5)): both begin
    /// `name:password:number`. As with getpwuid(3) the first line of a number wins. Lines that
    /// make no sense, and those beyond [`MAX_ENTRIES`], are skipped and counted. Any bytes are
    /// safe.
    pub fn parse(text: &[u8]) -> Self {
        let mut names = Self::default();
        for line in text.split(|b| *b == b'\n') {
            let line = line.trim_ascii();
            if line.is_empty() || line.starts_with(b"#") {
                continue;
            }
            match entry(line) {
                Some((id, name)) if names.by_id.len() < MAX_ENTRIES => {
                    if let Entry::Vacant(free) = names.by_id.entry(id) {
                        free.insert(escape_terminal(name).into());
                    }
                }
                _ => names.skipped += 1,
            }
        }
        names
    }

    /// The name of a number, free of control characters.
    pub fn get(&self, id: u32) -> Option<&str> {
        self.by_id.get(&id).map(AsRef::as_ref)
    }

    /// Numbers that have a name.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether no number has a name.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// Lines that could not be used.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }
}

/// The lines `+` and `-` (NIS, nss_compat) name nobody.
fn entry(line: &[u8]) -> Option<(u32, &[u8])> {
    let mut fields = line.split(|b| *b == b':');
    let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?);
    if name.is_empty() || name.len() > MAX_NAME || name.starts_with(b"+") || name.starts_with(b"-")
    {
        return None;
    }
    if !id.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some((std::str::from_utf8(id).ok()?.parse().ok()?, name))
}

/// What tells one state of a file from the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Stamp {
    fn from(m: &Metadata) -> Self {
        Self {
            device: m.dev(),
            inode: m.ino(),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    stamp: Option<Stamp>,
    names: Names,
}

impl Source {
    fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stamp: None,
            names: Names::default(),
        }
    }

    fn refresh(&mut self) -> io::Result<bool> {
        if self.stamp == Some(Stamp::from(&std::fs::metadata(&self.path)?)) {
            return Ok(false);
        }
        let (stamp, text) = read(&self.path)?;
        self.names = Names::parse(&text);
        self.stamp = Some(stamp);
        Ok(true)
    }
}

fn read(path: &Path) -> io::Result<(Stamp, Vec<u8>)> {
    // A fifo in the file's place must not block the sensor.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    let mut text = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut text)?;
    if text.len() as u64 == MAX_BYTES {
        // A cut last line could name the wrong number.
        let whole = text.iter().rposition(|b| *b == b'\n').unwrap_or(0);
        text.truncate(whole);
    }
    Ok((Stamp::from(&metadata), text))
}

/// The users and groups of this host, kept up to date by [`Users::refresh`].
#[derive(Debug)]
pub struct Users {
    users: Source,
    groups: Source,
}

impl Default for Users {
    fn default() -> Self {
        Self::from_files("/etc/passwd", "/etc/group")
    }
}

impl Users {
    /// Names from two files of the given form; nothing is read before the first
    /// [`Users::refresh`].
    pub fn from_files(passwd: impl Into<PathBuf>, group: impl Into<PathBuf>) -> Self {
        Self {
            users: Source::new(passwd),
            groups: Source::new(group),
        }
    }

    /// Reads again what has changed (device, inode, size, time of change), two `stat` calls
    /// when nothing has; meant for a tick, not for every event. Says whether names changed.
    ///
    /// # Errors
    /// When a file cannot be read; its old names then stay, and the other file is still
    /// looked at.
    pub fn refresh(&mut self) -> io::Result<bool> {
        let named = |source: &mut Source| {
            source.refresh().map_err(|e| {
                io::Error::new(
                    e.kind(),
                    format!("cannot read names from {}: {e}", source.path.display()),
                )
            })
        };
        let (users, groups) = (named(&mut self.users), named(&mut self.groups));
        Ok(users? | groups?)
    }

    /// The name of a user number.
    pub fn user(&self, uid: u32) -> Option<&str> {
        self.users.names.get(uid)
    }

    /// The name of a group number.
    pub fn group(&self, gid: u32) -> Option<&str> {
        self.groups.names.get(gid)
    }

    /// Lines of both files that could not be used, at the last reading.
    pub fn skipped(&self) -> u64 {
        self.users.names.skipped() + self.groups.names.skipped()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_come_from_both_kinds_of_file() {
        let passwd = Names::parse(b"root:x:0:0:root:/root:/bin/bash\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\ntoor:x:0:0::/:/bin/sh\n");
        assert_eq!(
            (passwd.get(0), passwd.get(33), passwd.get(1)),
            (Some("root"), Some("www-data"), None)
        );
        assert_eq!((passwd.len(), passwd.skipped()), (2, 0));
        let group = Names::parse(b"adm:x:4:syslog,ubuntu\nempty:*:5:");
        assert_eq!((group.get(4), group.get(5)), (Some("adm"), Some("empty")));
    }

    #[test]
    fn lines_that_make_no_sense_are_skipped_and_counted() {
        let text = "# comment\n\n+::::::\n-evil::1:\nnoid:x::\nneg:x:-1:\nplus:x:+7:\nbig:x:4294967296:\nname only\n:x:9:\nmax:x:4294967295:\n";
        let names = Names::parse(text.as_bytes());
        assert_eq!(
            (names.len(), names.skipped(), names.get(u32::MAX)),
            (1, 8, Some("max"))
        );
        let long = format!("{}:x:1:", "a".repeat(MAX_NAME + 1));
        assert!(Names::parse(long.as_bytes()).is_empty());
    }

    #[test]
    fn a_hostile_name_cannot_reach_the_terminal() {
        let names = Names::parse("\u{1b}[31mroot\u{202e}:x:0:0\n\u{ff}:x:1".as_bytes());
        assert_eq!(names.get(0), Some(r"\x1b[31mroot\u{202e}"));
        assert_eq!(names.get(1), Some("ÿ"));
    }

    #[test]
    fn there_is_an_end_to_the_names_kept() {
        let text: String = (0..MAX_ENTRIES + 10)
            .map(|n| format!("u{n}:x:{n}:\n"))
            .collect();
        let names = Names::parse(text.as_bytes());
        assert_eq!((names.len(), names.skipped()), (MAX_ENTRIES, 10));
    }

    #[test]
    fn a_changed_or_replaced_file_is_read_again_and_a_missing_one_keeps_its_names() {
        let dir = tempfile::tempdir().unwrap();
        let (passwd, group) = (dir.path().join("passwd"), dir.path().join("group"));
        let mut users = Users::from_files(&passwd, &group);
        fs::write(&passwd, "a:x:1:1\n").unwrap();
        let error = users.refresh().unwrap_err().to_string();
        assert!(error.contains("group"), "{error}");
        assert_eq!(users.user(1), Some("a"));

        fs::write(&group, "g:x:7:\nbad\n").unwrap();
        assert!(users.refresh().unwrap());
        assert_eq!((users.group(7), users.skipped()), (Some("g"), 1));
        assert!(!users.refresh().unwrap());

        // As vipw and useradd do: a new file renamed over the old one, of the same size.
        let new = dir.path().join("passwd+");
        fs::write(&new, "b:x:1:1\n").unwrap();
        fs::rename(&new, &passwd).unwrap();
        assert!(users.refresh().unwrap());
        assert_eq!(users.user(1), Some("b"));

        fs::remove_file(&passwd).unwrap();
        assert!(users.refresh().is_err());
        assert_eq!(users.user(1), Some("b"));
    }

    #[test]
    fn a_fifo_in_the_files_place_does_not_block() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("passwd");
        let name = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
        // SAFETY: `name` is a NUL-terminated string that outlives the call.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let error = Users::from_files(&path, &path).refresh().unwrap_err();
        assert!(error.to_string().contains("not a regular file"), "{error}");
    }

    #[test]
    fn this_host_knows_root() {
        let mut users = Users::default();
        assert!(users.refresh().unwrap());
        assert_eq!(
            (users.user(0), users.group(0)),
            (Some("root"), Some("root"))
        );
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..256)) {
            let names = Names::parse(&text);
            prop_assert!(names.len() as u64 + names.skipped() <= text.len() as u64);
        }

        #[test]
        fn any_well_formed_entry_is_found(name in "[a-z_][a-z0-9_-]{0,31}", id: u32, rest in "[ -~]{0,40}") {
            let names = Names::parse(format!("{name}:x:{id}:{rest}\n").as_bytes());
            prop_assert_eq!(names.get(id), Some(name.as_str()));
        }
    }
}
