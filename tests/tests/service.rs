//! The sensor as a service: what a service manager hears of it, what the next run tells of the one
//! before, and which privileges it keeps.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use sensor_tests::{Launch, PATIENCE, Sensor, field, text};

/// A service manager's ear.
struct Ear {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Ear {
    fn open(name: &str) -> Self {
        let name = format!("sensor-ear-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = fs::remove_file(&path);
        let socket = UnixDatagram::bind(&path).unwrap();
        Self { socket, path }
    }

    fn launch(&self) -> Launch {
        Launch::default().in_environment("NOTIFY_SOCKET", self.path.display().to_string())
    }

    /// The next message within a time.
    fn hear(&self, time: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(time)).unwrap();
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// The next message that begins like this.
    fn wait_for(&self, begin: &str) -> String {
        loop {
            let message = self.hear(PATIENCE);
            let message = message.unwrap_or_else(|| panic!("nobody says {begin}"));
            if message.starts_with(begin) {
                return message;
            }
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[test]
fn a_service_manager_hears_that_it_watches_reloads_and_stops() {
    let ear = Ear::open("ready");
    let sensor = ear.launch().start().unwrap();
    let status = ear.wait_for("STATUS=");
    assert!(status.contains("kinds of hook in use"), "{status}");
    assert_eq!(ear.hear(PATIENCE).unwrap(), "READY=1");
    sensor.hang_up();
    let reloading = ear.wait_for("RELOADING=1");
    assert!(reloading.contains("\nMONOTONIC_USEC="), "{reloading}");
    ear.wait_for("READY=1");
    let finished = sensor.stop().unwrap();
    ear.wait_for("STOPPING=1");
    assert!(!finished.events.is_empty());
}

/// A thread of another process that stands still until this is dropped, while its other threads run
/// on: it is traced. Only for the thread that made this.
struct Held(libc::pid_t);

impl Held {
    fn hold(thread: libc::pid_t) -> Self {
        const NOTHING: libc::c_long = 0;
        // SAFETY: numbers only.
        let result = unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, NOTHING, NOTHING) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        // SAFETY: as above.
        let result = unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, thread, NOTHING, NOTHING) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        let mut status = 0;
        // SAFETY: a valid place for the status.
        let waited = unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) };
        assert!(waited == thread && libc::WIFSTOPPED(status));
        Self(thread)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // SAFETY: numbers only.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0_i64, 0_i64) };
    }
}

fn threads(sensor: &Sensor) -> Vec<PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{}/task", sensor.pid())).unwrap();
    tasks.map(|task| task.unwrap().path()).collect()
}

fn thread_named(sensor: &Sensor, name: &str) -> libc::pid_t {
    let is_it = |task: &PathBuf| fs::read_to_string(task.join("comm")).unwrap().trim() == name;
    let task = threads(sensor).into_iter().find(is_it).unwrap();
    task.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn a_pipeline_that_hangs_is_not_covered_up_for() {
    let ear = Ear::open("hang");
    let limit = Duration::from_secs(3);
    let launch = ear.launch();
    let launch = launch.in_environment("WATCHDOG_USEC", limit.as_micros().to_string());
    let sensor = launch.start().unwrap();
    for _ in 0..3 {
        ear.wait_for("WATCHDOG=1");
    }
    let held = Held::hold(thread_named(&sensor, "pipeline"));
    // One may be on its way, and one is for what the pipeline did since the last.
    let mut heard = 0;
    while let Some(message) = ear.hear(limit) {
        heard += u32::from(message == "WATCHDOG=1");
        assert!(heard <= 2, "it says that it is alive while nothing gets on");
    }
    drop(held);
    ear.wait_for("WATCHDOG=1");
    sensor.stop().unwrap();
}

#[test]
fn a_sign_of_life_is_only_for_whoever_asked_for_it() {
    let ear = Ear::open("other");
    let launch = ear.launch().in_environment("WATCHDOG_PID", "1");
    let launch = launch.in_environment("WATCHDOG_USEC", "3000000");
    let sensor = launch.start().unwrap();
    ear.wait_for("READY=1");
    // The first would come at once.
    assert_eq!(ear.hear(Duration::from_secs(2)), None);
    sensor.stop().unwrap();
}

fn started(sensor: &mut Sensor) -> sensor_tests::Event {
    let is_start = |event: &sensor_tests::Event| text(event, "event.dataset") == "sensor.started";
    sensor.wait_for(is_start).unwrap()
}

/// The number of a run, from the id of one of its events.
fn run(event: &sensor_tests::Event) -> String {
    let (run, _) = text(event, "event.id").split_once('-').unwrap();
    run.to_owned()
}

#[test]
fn a_run_that_was_killed_is_told_of_by_the_next_and_one_that_stopped_as_well() {
    let name = format!("sensor-runs-{}", std::process::id());
    let state = std::env::temp_dir().join(name);
    let launch = || Launch::default().remembering(&state);

    let mut killed = launch().start().unwrap();
    let first = started(&mut killed);
    assert!(field(&first, "sensor.previous.run").is_null());
    drop(killed);

    let mut sensor = launch().start().unwrap();
    let second = started(&mut sensor);
    assert_eq!(text(&second, "sensor.previous.run"), run(&first));
    assert_eq!(field(&second, "sensor.previous.in_order"), false);
    let detail = text(&second, "sensor.health.detail");
    assert!(detail.contains("did not stop in order"), "{detail}");
    // Times are written so that they compare as texts.
    let until = text(&second, "sensor.previous.until");
    assert!(
        !until.is_empty() && until < text(&second, "@timestamp"),
        "{until}"
    );
    sensor.stop().unwrap();

    let mut sensor = launch().start().unwrap();
    let third = started(&mut sensor);
    assert_eq!(text(&third, "sensor.previous.run"), run(&second));
    assert_eq!(field(&third, "sensor.previous.in_order"), true);
    sensor.stop().unwrap();
    fs::remove_dir_all(state).unwrap();
}

#[test]
fn no_thread_keeps_what_the_sensor_does_not_use() {
    let sensor = Launch::default().detecting().start().unwrap();
    // CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_MKNOD.
    let never = [16, 17, 22, 25, 27].map(|bit| 1_u64 << bit);
    let mut looked_at = 0;
    for thread in threads(&sensor) {
        let status = fs::read_to_string(thread.join("status")).unwrap();
        let set = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            u64::from_str_radix(line.unwrap().trim(), 16).unwrap()
        };
        for name in ["CapEff:", "CapPrm:", "CapBnd:"] {
            assert!(never.iter().all(|bit| set(name) & bit == 0), "{status}");
        }
        assert_eq!(set("NoNewPrivs:"), 1);
        looked_at += 1;
    }
    assert!(looked_at > 3, "{looked_at} threads");
    sensor.stop().unwrap();
}
