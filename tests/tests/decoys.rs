//! Decoy files and ports on the real kernel: touching one is an alert, and the sensor, which has
//! the ports open, raises no other about itself.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};

use sensor_tests::{Event, Launch, Sensor, field, network, skip, text};
use tempfile::TempDir;

fn start(directory: &TempDir, decoys: &str) -> Sensor {
    let config = directory.path().join("sensor.toml");
    fs::write(&config, format!("[decoys]\n{decoys}")).unwrap();
    Launch::default()
        .detecting()
        .with(["--events", "alert", "--config", config.to_str().unwrap()])
        .start()
        .unwrap()
}

fn is_of(event: &Event, rule: &str) -> bool {
    text(event, "event.kind") == "alert" && text(event, "rule.id") == rule
}

fn run(program: &Path, file: &Path) {
    let status = Command::new(program)
        .arg(file)
        .stdout(Stdio::null())
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn whoever_reads_a_decoy_file_is_told_of_and_a_backup_is_not() {
    let Some(cat) = ["/usr/bin/cat", "/bin/busybox"]
        .map(Path::new)
        .into_iter()
        .find(|path| path.exists())
    else {
        return skip("there is no cat here");
    };
    let directory = TempDir::new().unwrap();
    let decoy = directory.path().join("passwords.txt");
    // Named after what busybox is to do.
    let [backup, thief] = ["backup", "thief"].map(|place| {
        let place = directory.path().join(place);
        fs::create_dir(&place).unwrap();
        let program = place.join("cat");
        fs::copy(cat, &program).unwrap();
        program
    });
    let mut sensor = start(
        &directory,
        &format!(
            "files = ['{}']\ncreate_files = true\nexclude_programs = ['{}']",
            decoy.display(),
            backup.display()
        ),
    );
    assert!(fs::metadata(&decoy).unwrap().len() > 20);
    run(&backup, &decoy);
    run(&thief, &decoy);
    let alert = sensor.wait_for(|event| is_of(event, "decoy-file")).unwrap();
    assert_eq!(text(&alert, "process.executable"), thief.to_str().unwrap());
    assert_eq!(text(&alert, "file.path"), decoy.to_str().unwrap());
    assert_eq!(text(&alert, "sensor.alert.severity"), "high");
    fs::rename(&decoy, directory.path().join("stolen")).unwrap();
    let alert = sensor.wait_for(|event| {
        is_of(event, "decoy-file") && field(event, "process.pid") == std::process::id()
    });
    assert!(text(&alert.unwrap(), "message").contains("renamed the decoy"));
    let finished = sensor.stop().unwrap();
    let by_backup = |event: &&Event| text(event, "process.executable") == backup.to_str().unwrap();
    assert!(
        !finished
            .events
            .iter()
            .any(|event| is_of(event, "decoy-file") && by_backup(&event))
    );
}

#[test]
fn whoever_calls_a_decoy_port_is_told_of_with_what_he_says() {
    network::private().unwrap();
    let directory = TempDir::new().unwrap();
    // The first is in use, which is said and keeps none of the others from being opened.
    let taken = TcpListener::bind("127.0.0.1:2300").unwrap();
    let mut sensor = start(
        &directory,
        "ports = ['127.0.0.1:2300', '0.0.0.0:2323', 'udp:127.0.0.1:1610']\nbanner = 'login: '",
    );
    let started = sensor
        .wait_for(|event| text(event, "event.dataset") == "sensor.started")
        .unwrap();
    assert_eq!(text(&started, "sensor.health.verdict"), "degraded");
    assert!(
        text(&started, "sensor.health.detail").contains("127.0.0.1:2300"),
        "{started}"
    );

    let mut caller = TcpStream::connect(("127.0.0.5", 2323)).unwrap();
    let from = caller.local_addr().unwrap();
    caller.write_all(b"root\x1b[2J\r\n").unwrap();
    let mut banner = String::new();
    let _ = caller.read_to_string(&mut banner);
    assert_eq!(banner, "login: ");
    let alert = sensor.wait_for(|event| is_of(event, "decoy-port")).unwrap();
    assert_eq!(field(&alert, "process.pid"), sensor.pid());
    assert_eq!(text(&alert, "source.ip"), from.ip().to_string());
    assert_eq!(field(&alert, "source.port"), from.port());
    let message = text(&alert, "message");
    assert!(
        message.contains("2323/tcp") && message.contains("root"),
        "{message}"
    );

    // The same again, and over UDP, is counted and not told again.
    drop(TcpStream::connect(("127.0.0.1", 2323)).unwrap());
    let udp = UdpSocket::bind("127.0.0.9:0").unwrap();
    udp.send_to(b"public", "127.0.0.1:1610").unwrap();
    let alert = sensor
        .wait_for(|event| is_of(event, "decoy-port") && text(event, "source.ip") == "127.0.0.9");
    assert!(text(&alert.unwrap(), "message").contains("1610/udp"));
    drop(taken);
    let pid = sensor.pid();
    let finished = sensor.stop().unwrap();
    let is_other = |event: &&Event| {
        text(event, "event.kind") == "alert"
            && field(event, "process.pid") == pid
            && text(event, "rule.id") != "decoy-port"
    };
    let others: Vec<_> = finished.events.iter().filter(is_other).collect();
    assert!(others.is_empty(), "{others:#?}");
}
