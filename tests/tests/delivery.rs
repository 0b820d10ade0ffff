//! Events on their way to receivers: they arrive in order and without holes although the receiver
//! goes away and the sensor is killed, and what the sensor says of itself agrees.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use sensor_tests::{Event, eventually, sensor_binary, text};
use serde_json::Value;

/// A receiver of lines, which can close its ears.
struct Receiver {
    port: u16,
    lines: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let receiver = Self {
            port: listener.local_addr().unwrap().port(),
            lines: Arc::default(),
            connections: Arc::default(),
        };
        let (lines, connections) = (
            Arc::clone(&receiver.lines),
            Arc::clone(&receiver.connections),
        );
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                connections
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                let lines = Arc::clone(&lines);
                thread::spawn(move || {
                    let mut reader = BufReader::new(stream);
                    let mut line = String::new();
                    // A line that is cut off is none.
                    while reader.read_line(&mut line).is_ok() && line.ends_with('\n') {
                        lines.lock().unwrap().push(std::mem::take(&mut line));
                    }
                });
            }
        });
        receiver
    }

    /// Cuts all connections, in whatever they are in the middle of.
    fn cut(&self) {
        for stream in self.connections.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn events(&self) -> Vec<Event> {
        let lines = self.lines.lock().unwrap();
        lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Events by run, each once, by the number in their id. They come in order, apart from those that
/// come again.
fn by_run(events: &[Event]) -> BTreeMap<String, Vec<u64>> {
    let mut runs = BTreeMap::<String, Vec<u64>>::new();
    for event in events {
        let (run, number) = text(event, "event.id").split_once('-').unwrap();
        let number = number.parse().unwrap();
        let numbers = runs.entry(run.to_owned()).or_default();
        match numbers.last() {
            Some(last) if number <= *last => assert!(numbers.contains(&number)),
            _ => numbers.push(number),
        }
    }
    runs
}

fn configure(directory: &Path, rest: &str) -> std::path::PathBuf {
    let path = directory.join("sensor.toml");
    let text = format!(
        "output = 'none'\ndetection = false\nevents = ['process']\n\
         runtime_directory = '{0}/run'\nstate_directory = '{0}/state'\n{rest}",
        directory.display()
    );
    fs::write(&path, text).unwrap();
    path
}

/// A sensor of which nothing stays.
struct Sensor(Child);

impl Sensor {
    fn start(config: &Path) -> Self {
        let child = Command::new(sensor_binary().unwrap())
            .args(["run", "--config"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// Ends it with a signal; whether it ended well.
    fn end(mut self, signal: libc::c_int) -> bool {
        // SAFETY: no memory is passed; the child is ours and not yet waited for.
        unsafe { libc::kill(self.0.id().cast_signed(), signal) };
        self.0.wait().unwrap().success()
    }
}

impl Drop for Sensor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Does what makes events.
fn work(times: usize) {
    for _ in 0..times {
        let _ = Command::new("/bin/true").status();
    }
}

fn status(directory: &Path) -> Value {
    let output = Command::new(sensor_binary().unwrap())
        .args(["status", "--json", "--runtime-directory"])
        .arg(directory.join("run"))
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn nothing_is_missing_after_the_receiver_was_cut_off_and_the_sensor_killed() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver::start();
    let config = configure(
        directory.path(),
        &format!(
            "[[sinks]]\nname = 'siem'\nformat = 'native'\nlines = 'tcp://127.0.0.1:{}'\nlinger_ms = 10\nretry_max_seconds = 1\n",
            receiver.port
        ),
    );
    const RUNS: usize = 4;
    for run in 0..RUNS {
        let sensor = Sensor::start(&config);
        // The run before may have left something.
        eventually("the sensor's first event arrives", || {
            by_run(&receiver.events()).len() > run
        });
        for _ in 0..5 {
            work(20);
            receiver.cut();
        }
        sensor.end(if run + 1 < RUNS {
            libc::SIGKILL
        } else {
            libc::SIGTERM
        });
    }
    let events = receiver.events();
    let runs = by_run(&events);
    assert_eq!(runs.len(), RUNS, "{:?}", runs.keys());
    for (run, numbers) in &runs {
        let dense = (0..).zip(numbers).all(|(place, number)| place == *number);
        assert!(dense, "{run} has holes: {numbers:?}");
        assert!(numbers.len() > 20, "{run}: {}", numbers.len());
    }
    let lost = |event: &&Event| text(event, "event.dataset") == "sensor.lost";
    assert_eq!(events.iter().filter(lost).count(), 0);
    assert_eq!(
        text(events.last().unwrap(), "event.dataset"),
        "sensor.stopped"
    );
}

#[test]
fn what_was_not_delivered_waits_for_the_next_start_and_the_status_says_so() {
    let directory = tempfile::tempdir().unwrap();
    // Nobody listens there yet.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let file = directory.path().join("out/events.ndjson");
    let config = configure(
        directory.path(),
        &format!(
            "metrics.listen = '127.0.0.1:{port}'\n\
             [[sinks]]\nname = 'away'\nlines = 'unix://{}/nobody.sock'\nretry_max_seconds = 1\n\
             [[sinks]]\nname = 'file'\nfile = '{}'\nformat = 'native'\n",
            directory.path().display(),
            file.display(),
        ),
    );
    let sensor = Sensor::start(&config);
    let sink = |report: &Value, number: usize, key: &str| report["sinks"][number][key].clone();
    eventually("the file gets events", || {
        sink(&status(directory.path()), 1, "delivered").as_u64() > Some(0)
    });
    work(10);
    eventually("the other sink is in trouble, and behind", || {
        let report = status(directory.path());
        sink(&report, 0, "trouble").is_string() && sink(&report, 0, "behind").as_u64() >= Some(30)
    });
    let scraped = scrape(port, "/metrics");
    assert!(
        scraped.contains("\nsensor_sink_up{sink=\"away\",kind=\"lines\"} 0\n"),
        "{scraped}"
    );
    assert!(scraped.contains("\nsensor_sink_up{sink=\"file\",kind=\"file\"} 1\n"));
    assert!(scraped.contains("sensor_events_total{kind=\"process.exec\",stage=\"delivered\"}"));
    assert!(scrape(port, "/health").starts_with("HTTP/1.1 "));
    assert!(sensor.end(libc::SIGTERM));
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.lines().count() > 30);
    let last: Event = serde_json::from_str(written.lines().last().unwrap()).unwrap();
    assert_eq!(text(&last, "event.dataset"), "sensor.stopped");

    let listener =
        std::os::unix::net::UnixListener::bind(directory.path().join("nobody.sock")).unwrap();
    let sensor = Sensor::start(&config);
    let (stream, _) = listener.accept().unwrap();
    let first = BufReader::new(stream).lines().next().unwrap().unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["event"]["dataset"], "sensor.started");
    let earliest = written.lines().next().unwrap();
    let earliest: Event = serde_json::from_str(earliest).unwrap();
    assert_eq!(first["event"]["id"], text(&earliest, "event.id"));
    assert!(sensor.end(libc::SIGTERM));
}

fn scrape(port: u16, path: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
