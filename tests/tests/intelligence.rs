//! Lists of hostile addresses and names, end to end: from a file and from a real TAXII 2.1 server
//! to alerts and blocks, and to their end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use sensor_tests::{Event, Launch, Sensor, eventually, network, sensor_binary, skip, text};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Where the firewall of one test is pinned; gone with it, and the blocks as well.
struct Pins(PathBuf);

impl Pins {
    fn new(name: &str) -> Self {
        Self(format!("/sys/fs/bpf/sensor-test-{}-{name}", std::process::id()).into())
    }
}

impl Drop for Pins {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn start(directory: &Path, pins: &Pins, lists: &str) -> Sensor {
    let config = directory.join("sensor.toml");
    let pins = pins.0.display();
    let text = format!("[respond]\nmode = 'enforce'\npins = '{pins}'\n{lists}");
    fs::write(&config, text).unwrap();
    Launch::default()
        .detecting()
        .with(["--events", "alert", "--config", config.to_str().unwrap()])
        .start()
        .unwrap()
}

fn ask(sensor: &Sensor, arguments: &[&str]) -> Output {
    Command::new(sensor_binary().unwrap())
        .args(["intelligence", "--runtime-directory"])
        .arg(sensor.directory())
        .args(arguments)
        .output()
        .unwrap()
}

fn is_listed(sensor: &Sensor, indicator: &str) -> bool {
    ask(sensor, &["--check", indicator]).status.code() == Some(0)
}

fn refresh(sensor: &Sensor) {
    assert!(ask(sensor, &["--refresh"]).status.success());
}

fn number(sensor: &Sensor, pointer: &str) -> u64 {
    let report: Value = serde_json::from_slice(&ask(sensor, &["--json"]).stdout).unwrap();
    report.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

/// Whether a connection is refused by the firewall. There is no way to the addresses of this
/// test, which is what a connection says that is not.
fn is_blocked(address: &str) -> bool {
    let error = TcpStream::connect((address, 443)).unwrap_err();
    match error.raw_os_error() {
        Some(libc::EPERM) => true,
        Some(libc::ENETUNREACH) => false,
        _ => panic!("{address}: {error}"),
    }
}

fn is_about(event: &Event, indicator: &str) -> bool {
    text(event, "rule.id") == "threat-intelligence"
        && text(event, "threat.indicator.name") == indicator
}

/// A question for a name, to a name server that is not there.
fn look_up(name: &str) {
    let mut message = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect("127.0.0.1:53").unwrap();
    socket.send(&message).unwrap();
}

#[test]
fn a_list_of_addresses_becomes_alerts_and_blocks_until_it_no_longer_has_them() {
    network::private().unwrap();
    let (directory, pins) = (TempDir::new().unwrap(), Pins::new("list"));
    let list = directory.path().join("bad.txt");
    fs::write(
        &list,
        "# ours\n127.6.6.6\n198.51.100.7 # listed\n203.0.113.0/24\nevil.example\n",
    )
    .unwrap();
    let lists = format!(
        "[[intelligence]]\nname = 'ours'\nlist = '{}'\nconfidence = 90\nprivate = true\nblock = true\n",
        list.display()
    );
    let mut sensor = start(directory.path(), &pins, &lists);
    eventually("the list is not in use", || {
        is_listed(&sensor, "198.51.100.7")
    });

    let server = TcpListener::bind("127.6.6.6:0").unwrap();
    drop(TcpStream::connect(server.local_addr().unwrap()).unwrap());
    let alert = sensor
        .wait_for(|event| is_about(event, "127.6.6.6"))
        .unwrap();
    assert_eq!(text(&alert, "threat.feed.name"), "ours");
    assert_eq!(text(&alert, "threat.indicator.type"), "ipv4-addr");
    assert_eq!(text(&alert, "sensor.alert.severity"), "high");
    look_up("www.evil.example");
    let alert = sensor
        .wait_for(|event| is_about(event, "evil.example"))
        .unwrap();
    assert!(
        text(&alert, "message").contains("www.evil.example"),
        "{alert}"
    );

    eventually("a listed address is not blocked", || {
        is_blocked("198.51.100.7")
    });
    assert!(is_blocked("203.0.113.99") && !is_blocked("198.51.100.8"));
    // What is protected stays open, and that is said.
    assert!(TcpStream::connect(server.local_addr().unwrap()).is_ok());
    let response = sensor
        .wait_for(|event| text(event, "event.dataset") == "response.block")
        .unwrap();
    assert_eq!(text(&response, "sensor.response.origin"), "intelligence");
    assert_eq!(text(&response, "sensor.response.by"), "ours");
    assert!(
        text(&response, "sensor.response.detail").contains("1 left out"),
        "{response}"
    );

    fs::write(&list, "198.51.100.8\n").unwrap();
    refresh(&sensor);
    eventually("a new address is not blocked", || {
        is_blocked("198.51.100.8")
    });
    eventually("an old address is still blocked", || {
        !is_blocked("198.51.100.7")
    });
    sensor.stop().unwrap();

    // Blocks outlive the sensor; the next one takes back what is not listed any more.
    assert!(is_blocked("198.51.100.8"));
    fs::write(&list, "198.51.100.9\n").unwrap();
    let sensor = start(directory.path(), &pins, &lists);
    eventually("a new address is not blocked", || {
        is_blocked("198.51.100.9")
    });
    eventually("an old address is still blocked", || {
        !is_blocked("198.51.100.8")
    });
    sensor.stop().unwrap();
}

/// A TAXII server, with all that is its own.
struct Medallion {
    child: Child,
    port: u16,
}

/// Basic authentication of `admin` with the password `pw`.
const CREDENTIALS: &str = "Authorization: Basic YWRtaW46cHc=";
const COLLECTION: &str = "91a7b528-80eb-42ed-a74d-c6fbd5a26116";

impl Medallion {
    /// Installs it below the target directory, unless it is there; none where there is no Python.
    fn install() -> Option<PathBuf> {
        let test = std::env::current_exe().ok()?;
        let target = test.ancestors().find(|path| path.ends_with("target"))?;
        let place = target.join("medallion");
        let program = place.join("bin/medallion");
        if program.exists() {
            return Some(program);
        }
        let run = |command: &mut Command| {
            let output = command.stdin(Stdio::null()).output().ok()?;
            output.status.success().then_some(())
        };
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        run(Command::new(place.join("bin/pip")).args(["install", "--quiet", "medallion==3.0.0"]))?;
        Some(program)
    }

    fn start(program: &Path, directory: &Path, objects: &[Value]) -> Self {
        let manifest: Vec<Value> = (1..)
            .zip(objects)
            .map(|(second, object)| {
                json!({
                    "id": object["id"], "version": object["modified"],
                    "date_added": format!("2026-01-01T00:00:{second:02}.000000Z"),
                    "media_type": "application/stix+json;version=2.1",
                })
            })
            .collect();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").unwrap();
            free.local_addr().unwrap().port()
        };
        let data = json!({
            "/discovery": {"title": "test", "api_roots": []},
            "api1": {
                "information": {"title": "test", "versions": ["application/taxii+json;version=2.1"], "max_content_length": 1_000_000},
                "status": [],
                "collections": [{
                    "id": COLLECTION, "title": "test", "can_read": true, "can_write": true,
                    "media_types": ["application/stix+json;version=2.1"],
                    "objects": objects, "manifest": manifest,
                }],
            },
        });
        let [data_file, config] = ["data.json", "medallion.json"].map(|name| directory.join(name));
        fs::write(&data_file, data.to_string()).unwrap();
        let settings = json!({
            "backend": {"module": "medallion.backends.memory_backend", "module_class": "MemoryBackend", "filename": data_file},
            "users": {"admin": "pw"},
            "taxii": {"max_page_size": 2},
        });
        fs::write(&config, settings.to_string()).unwrap();
        let child = Command::new(program)
            .args(["--port", &port.to_string()])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        eventually("the TAXII server does not start", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, port }
    }

    fn add(&self, objects: &[Value]) -> io::Result<String> {
        let body = json!({ "objects": objects }).to_string();
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        write!(
            stream,
            "POST /api1/collections/{COLLECTION}/objects/ HTTP/1.1\r\nHost: x\r\n{CREDENTIALS}\r\n\
             Accept: application/taxii+json;version=2.1\r\nContent-Type: application/taxii+json;version=2.1\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

impl Drop for Medallion {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn indicator(number: u8, day: u8, pattern: &str, more: Value) -> Value {
    let mut object = json!({
        "type": "indicator", "spec_version": "2.1", "pattern_type": "stix",
        "id": format!("indicator--00000000-0000-4000-8000-0000000000{number:02}"),
        "created": "2026-01-01T00:00:00.000Z", "modified": format!("2026-01-{day:02}T00:00:00.000Z"),
        "valid_from": "2026-01-01T00:00:00Z", "name": "Test C2", "confidence": 90, "pattern": pattern,
    });
    object
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    object
}

/// Some seconds from now, as STIX writes it.
fn soon(seconds: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
        + seconds;
    let output = Command::new("date")
        .args(["-u", "+%Y-%m-%dT%H:%M:%SZ", "-d", &format!("@{now}")])
        .output();
    String::from_utf8(output.unwrap().stdout)
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn a_taxii_server_feeds_indicators_that_become_alerts_and_blocks_and_expire() {
    let Some(program) = Medallion::install() else {
        return skip("no TAXII server can be installed here with python3 and pip");
    };
    network::private().unwrap();
    let (directory, pins) = (TempDir::new().unwrap(), Pins::new("taxii"));
    let technique = json!({"external_references": [{"source_name": "mitre-attack", "external_id": "T1071.001"}]});
    let server = Medallion::start(
        &program,
        directory.path(),
        &[
            indicator(1, 1, "[ipv4-addr:value = '127.6.6.6']", technique),
            indicator(2, 1, "[domain-name:value = 'evil.example']", json!({})),
            indicator(3, 1, "[ipv4-addr:value = '198.51.100.9']", json!({})),
            indicator(
                4,
                1,
                "[process:name = 'x'] FOLLOWEDBY [process:name = 'y']",
                json!({}),
            ),
        ],
    );
    let secret = directory.path().join("secret");
    fs::write(&secret, "pw\n").unwrap();
    let lists = format!(
        "[[intelligence]]\nname = 'feed'\ntaxii = 'http://127.0.0.1:{}/api1/'\ncollection = '{COLLECTION}'\n\
         username = 'admin'\nsecret_file = '{}'\nprivate = true\nblock = true\n",
        server.port,
        secret.display()
    );
    let mut sensor = start(directory.path(), &pins, &lists);
    // Two pages of two.
    eventually("not all pages came", || {
        number(&sensor, "/sources/0/counts/indicators") == 3
    });
    assert_eq!(number(&sensor, "/sources/0/counts/unsupported"), 1);

    let listener = TcpListener::bind("127.6.6.6:0").unwrap();
    drop(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let alert = sensor
        .wait_for(|event| is_about(event, "127.6.6.6"))
        .unwrap();
    assert_eq!(text(&alert, "threat.indicator.description"), "Test C2");
    assert_eq!(
        alert["threat.indicator.id"][0],
        "indicator--00000000-0000-4000-8000-000000000001"
    );
    assert_eq!(alert["threat.technique.subtechnique.id"][0], "T1071.001");
    look_up("evil.example");
    sensor
        .wait_for(|event| is_about(event, "evil.example"))
        .unwrap();
    eventually("a listed address is not blocked", || {
        is_blocked("198.51.100.9")
    });

    // News: one is taken back, and one ends soon.
    let answer = server.add(&[
        indicator(
            1,
            2,
            "[ipv4-addr:value = '127.6.6.6']",
            json!({"revoked": true}),
        ),
        indicator(
            3,
            2,
            "[ipv4-addr:value = '198.51.100.9']",
            json!({"valid_until": soon(8)}),
        ),
    ]);
    assert!(answer.unwrap().starts_with("HTTP/1.1 202"));
    refresh(&sensor);
    eventually("what was revoked is still in use", || {
        !is_listed(&sensor, "127.6.6.6")
    });
    assert!(is_listed(&sensor, "evil.example"));
    eventually("what has expired is still blocked", || {
        !is_blocked("198.51.100.9")
    });
    eventually("what has expired is still in use", || {
        !is_listed(&sensor, "198.51.100.9")
    });

    // The server is gone, and what it had is still known.
    drop(server);
    refresh(&sensor);
    eventually("the failure is not told", || {
        number(&sensor, "/sources/0/failures") > 0
    });
    let said = String::from_utf8(ask(&sensor, &[]).stdout).unwrap();
    assert!(said.contains("failed 1 times"), "{said}");
    assert!(is_listed(&sensor, "evil.example"));
    sensor.stop().unwrap();
}
