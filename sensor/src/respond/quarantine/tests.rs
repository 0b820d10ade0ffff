//! Files of our own put away and back, and what an intruder would do about it.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::process::Command;

fn options(state: &Path) -> Options {
    Options {
        origin: Origin::Operator,
        by: "root".into(),
        reason: "a test".into(),
        dry_run: false,
        state: state.to_owned(),
    }
}

/// A directory with a file in it, and a state directory.
struct Scene {
    home: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("www")).unwrap();
        let scene = Self { home };
        fs::write(scene.file(), "<?php system($_GET['c']);").unwrap();
        scene
    }

    fn at(&self, name: &str) -> PathBuf {
        fs::canonicalize(self.home.path()).unwrap().join(name)
    }

    fn file(&self) -> PathBuf {
        self.at("www/x.php")
    }

    fn state(&self) -> PathBuf {
        self.at("state")
    }

    fn options(&self) -> Options {
        options(&self.state())
    }

    fn put(&self, path: &Path) -> Response {
        let file = File {
            path: path.to_owned(),
            seen_by: None,
        };
        put(&file, &self.options())
    }

    fn only_id(&self) -> String {
        let cards = list(&self.state());
        assert_eq!(cards.len(), 1);
        cards[0].id.to_string()
    }
}

fn is_root() -> bool {
    // SAFETY: no preconditions.
    unsafe { libc::geteuid() == 0 }
}

#[test]
fn a_file_comes_back_byte_for_byte_with_all_that_belongs_to_it() {
    let scene = Scene::new();
    let file = scene.file();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
    let opened = Opened::open(&file).unwrap();
    let old = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 7);
    let times = fs::FileTimes::new().set_accessed(old).set_modified(old);
    opened.set_times(times).unwrap();
    if is_root() {
        std::os::unix::fs::chown(&file, Some(33), Some(44)).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o4751)).unwrap();
        let capability = "0x0100000200000020000000000000000000000000";
        let set = Command::new("setfattr")
            .args(["-n", "security.capability", "-v", capability])
            .arg(&file)
            .status();
        drop(set);
    }
    let before = Metadata::of(&opened).unwrap();

    let response = scene.put(&file);
    assert_eq!(response.outcome, Outcome::Done, "{response}");
    assert!(!file.exists());
    let id = scene.only_id();
    assert_eq!(
        response.undo.as_deref(),
        Some(&*format!("sensor restore {id}"))
    );
    for entry in fs::read_dir(scene.state().join(DIRECTORY)).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().mode() & 0o7777, 0o400);
        let content = fs::read(entry.path()).unwrap();
        assert!(!content.windows(5).any(|five| five == b"<?php"));
    }

    let response = restore(&id, None, false, &scene.options());
    assert_eq!(response.outcome, Outcome::Done, "{response}");
    assert_eq!(fs::read(&file).unwrap(), b"<?php system($_GET['c']);");
    let after = Metadata::of(&Opened::open(&file).unwrap()).unwrap();
    let what_can_come_back = |m: Metadata| (m.uid, m.gid, m.mode, m.modified, m.extended);
    assert_eq!(
        what_can_come_back(after),
        what_can_come_back(before),
        "{response}"
    );
    assert!(list(&scene.state()).is_empty());
    assert_eq!(fs::read_dir(scene.at("www")).unwrap().count(), 1);
}

#[test]
fn links_directories_and_devices_are_refused() {
    let scene = Scene::new();
    symlink(scene.file(), scene.at("www/link")).unwrap();
    symlink(scene.at("www"), scene.at("way")).unwrap();
    for path in [
        scene.at("www/link"),
        scene.at("way/x.php"),
        scene.at("www"),
        "/dev/null".into(),
        "/".into(),
        "x.php".into(),
        scene.at("www/../www/x.php"),
    ] {
        let response = scene.put(&path);
        assert_eq!(response.outcome, Outcome::Refused, "{response}");
    }
    assert_eq!(scene.put(&scene.at("www/none")).outcome, Outcome::Failed);
    assert!(scene.file().exists() && list(&scene.state()).is_empty());
}

#[test]
fn what_everything_hangs_on_is_refused_under_any_name() {
    let scene = Scene::new();
    let shell = fs::canonicalize("/bin/sh").unwrap();
    let response = scene.put(&shell);
    assert_eq!(response.outcome, Outcome::Refused, "{response}");
    assert!(
        response.detail.contains("/bin/sh") || response.detail.contains("bash"),
        "{response}"
    );
    let own = scene.state().join("quarantine");
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("a.json"), "{}").unwrap();
    assert!(
        scene
            .put(&own.join("a.json"))
            .detail
            .contains("the sensor's own")
    );
}

#[test]
fn another_name_of_the_file_is_reported() {
    let scene = Scene::new();
    fs::hard_link(scene.file(), scene.at("other")).unwrap();
    let response = scene.put(&scene.file());
    assert!(response.detail.contains("ANOTHER NAME"), "{response}");
    assert!(scene.at("other").exists());
}

#[test]
fn a_file_that_takes_the_name_meanwhile_is_not_removed() {
    let scene = Scene::new();
    let file = File {
        path: scene.file(),
        seen_by: None,
    };
    let place = Place::find(&file).unwrap();
    let opened = place.open().unwrap();
    let metadata = Metadata::of(&opened).unwrap();
    fs::rename(scene.file(), scene.at("www/moved")).unwrap();
    fs::write(scene.file(), "innocent").unwrap();
    assert!(matches!(
        place.remove(&opened, &metadata, "id"),
        Err(PutError::Swapped)
    ));
    assert_eq!(fs::read(scene.file()).unwrap(), b"innocent");
    // And a link in its place leads nowhere.
    fs::remove_file(scene.file()).unwrap();
    symlink("/etc/passwd", scene.file()).unwrap();
    assert!(matches!(
        place.remove(&opened, &metadata, "id"),
        Err(PutError::Swapped)
    ));
    assert!(scene.file().is_symlink() && Path::new("/etc/passwd").exists());
}

#[test]
fn nothing_is_replaced_unless_told() {
    let scene = Scene::new();
    assert_eq!(scene.put(&scene.file()).outcome, Outcome::Done);
    let id = scene.only_id();
    fs::write(scene.file(), "newer").unwrap();
    let options = scene.options();
    let response = restore(&id, None, false, &options);
    assert_eq!(response.outcome, Outcome::Refused, "{response}");
    assert_eq!(fs::read(scene.file()).unwrap(), b"newer");
    let elsewhere = scene.at("elsewhere");
    let mut rehearsal = options.clone();
    rehearsal.dry_run = true;
    assert_eq!(
        restore(&id, Some(&elsewhere), false, &rehearsal).outcome,
        Outcome::DryRun
    );
    assert!(!elsewhere.exists());
    assert_eq!(restore(&id, None, true, &options).outcome, Outcome::Done);
    assert!(fs::read(scene.file()).unwrap().starts_with(b"<?php"));
    for unknown in [&*id, "../../etc/passwd", ""] {
        assert!(
            restore(unknown, None, false, &options)
                .detail
                .contains("--list")
        );
    }
}

#[test]
fn what_was_tampered_with_does_not_come_back() {
    let scene = Scene::new();
    assert_eq!(scene.put(&scene.file()).outcome, Outcome::Done);
    let id = scene.only_id();
    let sealed = scene
        .state()
        .join(DIRECTORY)
        .join(&id)
        .with_extension("sealed");
    let mut content = fs::read(&sealed).unwrap();
    content[3] ^= 1;
    fs::remove_file(&sealed).unwrap();
    fs::write(&sealed, content).unwrap();
    let response = restore(&id, None, false, &scene.options());
    assert!(response.detail.contains("sums differ"), "{response}");
    assert_eq!(fs::read_dir(scene.at("www")).unwrap().count(), 0);
}

#[test]
fn a_file_is_put_away_where_its_process_sees_it() {
    let scene = Scene::new();
    let key = crate::respond::process::proc::Stat::of(std::process::id())
        .unwrap()
        .key;
    let file = File {
        path: scene.file(),
        seen_by: Some(key),
    };
    assert_eq!(put(&file, &scene.options()).outcome, Outcome::Done);
    let response = restore(&scene.only_id(), None, false, &scene.options());
    assert!(response.detail.contains("--to"), "{response}");
    let gone = File {
        seen_by: Some(ProcessKey {
            start_ticks: 1,
            ..key
        }),
        ..file
    };
    assert!(put(&gone, &scene.options()).detail.contains("ended"));
}

/// A small file system, which goes with this.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let made = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(at)
            .status()
            .unwrap();
        assert!(made.success());
        Self(at.to_owned())
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn with_a_full_disk_the_file_stays_where_it_is() {
    if !is_root() {
        return;
    }
    let scene = Scene::new();
    let _small = Small::mount(&scene.state());
    fs::write(scene.file(), vec![7; 256 * 1024]).unwrap();
    let response = scene.put(&scene.file());
    assert_eq!(response.outcome, Outcome::Failed, "{response}");
    assert!(response.detail.contains("the disk is full"), "{response}");
    assert_eq!(fs::metadata(scene.file()).unwrap().len(), 256 * 1024);
    let left = fs::read_dir(scene.state().join(DIRECTORY)).unwrap().count();
    assert_eq!(left, 0);
}
