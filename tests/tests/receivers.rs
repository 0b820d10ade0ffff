//! Real receivers of syslog, rsyslog and syslog-ng from Debian, over TLS with certificates at both
//! ends: killed and started again while events come, they have every one of them, in order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use sensor_tests::{Event, eventually, sensor_binary, skip, text};

/// Packages that have both, and what they need beyond what every Debian has.
const PACKAGES: &[&str] = &[
    "rsyslog",
    "rsyslog-gnutls",
    "libestr0",
    "libfastjson4",
    "syslog-ng-core",
    "libivykis0",
    "libnet1",
    "libpcre3",
];

/// Where the packages are unpacked; nothing of them is installed. None where there is no apt.
fn unpacked() -> Option<PathBuf> {
    let target = std::env::current_exe().ok()?;
    let target = target.ancestors().find(|path| path.ends_with("target"))?;
    let place = target.join("receivers");
    let root = place.join("root");
    if root.join("usr/sbin/syslog-ng").exists() && root.join("usr/sbin/rsyslogd").exists() {
        return Some(root);
    }
    fs::create_dir_all(&root).ok()?;
    let run = |command: &mut Command| {
        let ended = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        ended.ok().filter(|status| status.success())
    };
    run(Command::new("apt-get")
        .arg("download")
        .args(PACKAGES)
        .current_dir(&place))?;
    for entry in fs::read_dir(&place).ok()?.flatten() {
        if entry.path().extension().is_some_and(|end| end == "deb") {
            run(Command::new("dpkg-deb")
                .arg("-x")
                .arg(entry.path())
                .arg(&root))?;
        }
    }
    Some(root)
}

/// Authority, server and client, in `directory`.
fn certificates(directory: &Path) {
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(directory)
            .output()
            .expect("openssl is there");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let key = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
    ];
    let mut authority = vec!["req", "-x509", "-days", "2", "-subj", "/CN=authority"];
    authority.extend(key);
    authority.extend(["-keyout", "ca.key", "-out", "ca.pem"]);
    openssl(&authority);
    for name in ["server", "client"] {
        let (keys, request, pem) = (
            format!("{name}.key"),
            format!("{name}.csr"),
            format!("{name}.pem"),
        );
        let subject = format!("/CN={name}");
        let mut asked = vec!["req", "-new", "-subj", &subject];
        asked.extend(key);
        asked.extend(["-keyout", &keys, "-out", &request]);
        openssl(&asked);
        fs::write(directory.join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "2",
            "-CAcreateserial",
            "-extfile",
            "names",
            "-out",
            &pem,
        ]);
    }
}

/// A receiver.
struct Receiver {
    command: Box<dyn Fn() -> Command>,
    running: Option<Child>,
    port: u16,
    output: PathBuf,
}

impl Receiver {
    fn rsyslog(root: &Path, directory: &Path) -> Self {
        let port = free_port();
        let output = directory.join("rsyslog.out");
        let configuration = directory.join("rsyslog.conf");
        let place = directory.display();
        let text = format!(
            "global(workDirectory=\"{place}\" maxMessageSize=\"1m\"\n\
             defaultNetstreamDriverCAFile=\"{place}/ca.pem\"\n\
             defaultNetstreamDriverCertFile=\"{place}/server.pem\"\n\
             defaultNetstreamDriverKeyFile=\"{place}/server.key\")\n\
             module(load=\"imtcp\" StreamDriver.Name=\"gtls\" StreamDriver.Mode=\"1\"\n\
             StreamDriver.AuthMode=\"x509/certvalid\")\n\
             template(name=\"raw\" type=\"string\" string=\"%msg%\\n\")\n\
             ruleset(name=\"in\") {{ action(type=\"omfile\" file=\"{}\" template=\"raw\") }}\n\
             input(type=\"imtcp\" port=\"{port}\" address=\"127.0.0.1\" ruleset=\"in\")\n",
            output.display()
        );
        fs::write(&configuration, text).unwrap();
        let (root, pid) = (root.to_owned(), directory.join("rsyslog.pid"));
        Self::start(port, output, move || {
            let mut command = program(&root, "usr/sbin/rsyslogd");
            command.args(["-n", "-f"]).arg(&configuration);
            command.arg("-i").arg(&pid);
            command
                .arg("-M")
                .arg(root.join("usr/lib/x86_64-linux-gnu/rsyslog"));
            command
        })
    }

    fn syslog_ng(root: &Path, directory: &Path) -> Self {
        let port = free_port();
        let output = directory.join("syslog-ng.out");
        let configuration = directory.join("syslog-ng.conf");
        let place = directory.display();
        let text = format!(
            "@version: 3.38\noptions {{ log-msg-size(1048576); }};\n\
             source s {{ syslog(ip(\"127.0.0.1\") port({port}) transport(\"tls\")\n\
             tls(key-file(\"{place}/server.key\") cert-file(\"{place}/server.pem\")\n\
             ca-file(\"{place}/ca.pem\") peer-verify(required-trusted))); }};\n\
             destination d {{ file(\"{}\" template(\"${{MESSAGE}}\\n\")); }};\n\
             log {{ source(s); destination(d); }};\n",
            output.display()
        );
        fs::write(&configuration, text).unwrap();
        let (root, directory) = (root.to_owned(), directory.to_owned());
        Self::start(port, output, move || {
            let mut command = program(&root, "usr/sbin/syslog-ng");
            command
                .args(["--foreground", "--no-caps", "--stderr", "-f"])
                .arg(&configuration);
            for (option, file) in [
                ("--persist-file", "syslog-ng.persist"),
                ("--pidfile", "syslog-ng.pid"),
                ("--control", "syslog-ng.ctl"),
            ] {
                command.arg(option).arg(directory.join(file));
            }
            command
                .arg("--module-path")
                .arg(root.join("usr/lib/syslog-ng/3.38"));
            command
        })
    }

    fn start(port: u16, output: PathBuf, command: impl Fn() -> Command + 'static) -> Self {
        let mut receiver = Self {
            command: Box::new(command),
            running: None,
            port,
            output,
        };
        receiver.again();
        receiver
    }

    /// Kills it, if it runs, and starts it.
    fn again(&mut self) {
        self.kill();
        self.running = Some((self.command)().spawn().unwrap());
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.running.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Events that it has; a line that it was killed in the middle of is none.
    fn events(&self) -> Vec<Event> {
        let text = fs::read(&self.output).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        text.lines()
            .filter_map(|line| serde_json::from_str(line.trim_start()).ok())
            .collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.kill();
    }
}

fn program(root: &Path, path: &str) -> Command {
    let libraries = [
        "usr/lib/x86_64-linux-gnu",
        "lib/x86_64-linux-gnu",
        "usr/lib/syslog-ng",
    ]
    .map(|place| root.join(place).display().to_string())
    .join(":");
    let mut command = Command::new(root.join(path));
    command
        .env("LD_LIBRARY_PATH", libraries)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // SAFETY: prctl is a plain system call without pointers here, allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The sensor, which does not outlive the test.
struct Sensor(Child);

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn numbers(events: &[Event]) -> BTreeMap<u64, usize> {
    let mut seen = BTreeMap::new();
    for (place, event) in events.iter().enumerate() {
        let id = text(event, "event.id");
        let number = id.split_once('-').unwrap().1.parse().unwrap();
        seen.entry(number).or_insert(place);
    }
    seen
}

#[test]
fn syslog_receivers_have_every_event_in_order_although_they_were_killed() {
    let Some(root) = unpacked() else {
        return skip("rsyslog and syslog-ng cannot be fetched here");
    };
    if Command::new("openssl").arg("version").output().is_err() {
        return skip("there is no openssl to make certificates with");
    }
    let directory = tempfile::tempdir().unwrap();
    let place = directory.path();
    certificates(place);
    let mut receivers = [
        Receiver::rsyslog(&root, place),
        Receiver::syslog_ng(&root, place),
    ];
    let sinks: String = receivers
        .iter()
        .map(|receiver| {
            format!(
                "[[sinks]]\nname = 'to-{0}'\nformat = 'native'\nsyslog = 'tls://127.0.0.1:{0}'\n\
                 ca = '{1}/ca.pem'\ncertificate = '{1}/client.pem'\nkey = '{1}/client.key'\n\
                 retry_max_seconds = 1\n",
                receiver.port,
                place.display()
            )
        })
        .collect();
    let config = place.join("sensor.toml");
    let text_of = format!(
        "output = 'none'\ndetection = false\nevents = ['process']\n\
         runtime_directory = '{0}/run'\nstate_directory = '{0}/state'\n{sinks}",
        place.display()
    );
    fs::write(&config, text_of).unwrap();
    let mut sensor = Sensor(
        Command::new(sensor_binary().unwrap())
            .args(["run", "--config"])
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    for _ in 0..3 {
        for receiver in &mut receivers {
            let before = receiver.events().len();
            eventually("events arrive", || {
                let _ = Command::new("/bin/true").status();
                receiver.events().len() > before + 20
            });
            receiver.again();
        }
    }
    for receiver in &receivers {
        let before = receiver.events().len();
        eventually("it is there again", || {
            let _ = Command::new("/bin/true").status();
            receiver.events().len() > before
        });
    }
    // SAFETY: no memory is passed; the child is ours and not yet waited for.
    unsafe { libc::kill(sensor.0.id().cast_signed(), libc::SIGTERM) };
    assert!(sensor.0.wait().unwrap().success());

    for receiver in &receivers {
        eventually("the last event arrives", || {
            let events = receiver.events();
            let last = events.last();
            last.is_some_and(|event| text(event, "event.dataset") == "sensor.stopped")
        });
        let events = receiver.events();
        let seen = numbers(&events);
        let dense = (0..)
            .zip(seen.keys())
            .all(|(place, number)| place == *number);
        assert!(
            dense,
            "{}: holes in {:?}",
            receiver.output.display(),
            seen.keys()
        );
        let mut places: Vec<_> = seen.values().collect();
        places.dedup();
        assert!(
            places.is_sorted(),
            "{}: out of order",
            receiver.output.display()
        );
        assert!(seen.len() > 150, "{}", seen.len());
    }
}
