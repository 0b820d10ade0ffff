//! Sinks against receivers on loopback that do what receivers do on bad days: go away in the middle
//! of a line, refuse some, are busy. What is produced arrives, in order, once or more.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use super::options::{self, Options};
use super::{Sinks, status};
use crate::event::process::ProcessKey;
use crate::event::{Action, made_up};
use crate::export::spool::feed::Feed;
use crate::export::spool::keeper::Spool;
use crate::export::spool::{Lane, PerLane, Settings, WhenFull};
use crate::identity::Identity;

/// How long something may take that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

fn spool(directory: &Path) -> (Spool, Feed) {
    Spool::open(Settings {
        directory: directory.to_owned(),
        bytes_max: PerLane {
            alerts: 1 << 24,
            telemetry: 1 << 24,
        },
        segment_bytes: 1 << 20,
        age_max: Duration::from_secs(1 << 40),
        when_full: WhenFull::DropOldest,
        sync_every: Duration::from_secs(1),
    })
    .unwrap()
}

fn start(spool: &Spool, options: Options) -> Sinks {
    let sinks = options::all(&[options], |_| true).unwrap();
    Sinks::start(spool, sinks, &origin()).unwrap()
}

fn origin() -> Arc<Identity> {
    let mut origin = Identity::default();
    origin.host.name = Some("host".into());
    Arc::new(origin)
}

fn named(name: &str) -> Options {
    Options {
        name: name.to_owned(),
        linger_ms: 5,
        retry_max_seconds: 1,
        ..Options::default()
    }
}

fn line(number: u64) -> String {
    format!(r#"{{"event":{{"id":"00000001-{number}"}},"n":{number}}}"#)
}

fn feed_lines(feed: &mut Feed, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let lane = if number % 10 == 0 {
            Lane::Alerts
        } else {
            Lane::Telemetry
        };
        feed.put(lane, number, 0, "process.exec", line(number).as_bytes());
        if number % 7 == 0 {
            feed.flush();
        }
    }
    feed.flush();
}

/// Waits until so many are on disk, so that a sink gets them at once.
fn wait_for_disk(spool: &Spool, count: u64) {
    let shared = spool.shared();
    let kept = || {
        shared
            .kept()
            .lanes
            .iter()
            .map(|lane| lane.kept)
            .sum::<u64>()
    };
    while kept() < count {
        let _ = shared.wait(shared.view().version, Duration::from_millis(10));
    }
}

/// Number of a line that was received.
fn number(line: &str) -> Option<u64> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    value["n"].as_u64()
}

/// Numbers, without those that came before; they must be in order.
fn new_ones(lines: impl IntoIterator<Item = String>) -> Vec<u64> {
    let mut seen = Vec::new();
    for number in lines.into_iter().filter_map(|line| number(&line)) {
        let next = seen.len() as u64;
        assert!(number <= next, "{number} came before {next}");
        if number == next {
            seen.push(number);
        }
    }
    seen
}

fn wait_for(sinks: &Sinks, holds: impl Fn(&status::Report) -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let report = sinks.statuses()[0].report();
        if holds(&report) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{report:?}");
        thread::yield_now();
    }
}

#[test]
fn a_file_has_every_line_in_order_across_rotation_and_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("out/events.ndjson");
    let options = || Options {
        file: Some(path.clone()),
        ..named("file")
    };
    for run in 0..2_u64 {
        let (spool, mut feed) = spool(&directory.path().join("spool"));
        let sinks = start(&spool, options());
        feed_lines(&mut feed, run * 500..run * 500 + 250);
        wait_for(&sinks, |report| report.delivered == 250);
        std::fs::rename(&path, directory.path().join(format!("moved{run}"))).unwrap();
        feed_lines(&mut feed, run * 500 + 250..run * 500 + 500);
        feed.finish();
        spool.finish();
        sinks.finish();
    }
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let all = read(&directory.path().join("moved0"))
        + &read(&directory.path().join("moved1"))
        + &read(&path);
    let mut numbers: Vec<_> = all.lines().filter_map(number).collect();
    assert_eq!(numbers.len(), 1000);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..1000).collect::<Vec<_>>());
}

/// Takes connections; each is cut after so many bytes, and what was read of it is passed on.
fn cutting(listener: TcpListener, bytes: usize, cuts: usize) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for cut in 0..=cuts {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut read = Vec::new();
            if cut < cuts {
                let _ = (&mut stream).take(bytes as u64).read_to_end(&mut read);
            } else {
                let _ = stream.read_to_end(&mut read);
            }
            if sender.send(read).is_err() {
                return;
            }
        }
    });
    receiver
}

#[test]
fn lines_arrive_whole_although_the_connection_is_cut_in_the_middle_of_them() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = cutting(listener, 3001, 20);
    let (spool, mut feed) = spool(directory.path());
    let sinks = start(
        &spool,
        Options {
            lines: Some(format!("tcp://127.0.0.1:{port}")),
            batch_events: 50,
            ..named("lines")
        },
    );
    feed_lines(&mut feed, 0..2000);
    wait_for(&sinks, |report| {
        report.behind == 0 && report.trouble.is_none() && report.delivered >= 2000
    });
    feed.finish();
    spool.finish();
    sinks.finish();
    let mut lines = Vec::new();
    for part in received {
        lines.extend(
            String::from_utf8(part)
                .unwrap()
                .split('\n')
                .map(str::to_owned),
        );
    }
    assert_eq!(new_ones(lines).len(), 2000);
}

#[test]
fn syslog_over_tcp_is_counted_and_carries_the_event() {
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = cutting(listener, 0, 0);
    let (spool, mut feed) = spool(directory.path());
    let sinks = start(
        &spool,
        Options {
            syslog: Some(format!("tcp://127.0.0.1:{port}")),
            ..named("syslog")
        },
    );
    feed_lines(&mut feed, 0..100);
    feed.finish();
    spool.finish();
    wait_for(&sinks, |report| report.delivered == 100);
    sinks.finish();
    let bytes = received.recv_timeout(PATIENCE).unwrap();
    let mut rest = String::from_utf8(bytes).unwrap();
    for expected in 0..100 {
        let (length, after) = rest.split_once(' ').unwrap();
        let (message, after) = after.split_at(length.parse().unwrap());
        let (header, event) = message.split_once(" - {").unwrap();
        assert!(header.starts_with("<86>1 1970-01-01T00:00:00.000000Z host sensor "));
        assert!(header.ends_with(" process.exec"), "{header}");
        assert_eq!(number(&format!("{{{event}")), Some(expected));
        rest = after.to_owned();
    }
    assert!(rest.is_empty());
}

/// One request: its path, and its body unpacked.
fn request(stream: &mut BufReader<TcpStream>) -> Option<(String, Vec<u8>)> {
    let mut first = String::new();
    stream
        .read_line(&mut first)
        .ok()
        .filter(|length| *length > 0)?;
    let path = first.split(' ').nth(1)?.to_owned();
    let (mut length, mut packed) = (0, false);
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let header = header.trim().to_ascii_lowercase();
        if header.is_empty() {
            break;
        }
        if let Some(value) = header.strip_prefix("content-length: ") {
            length = value.parse().ok()?;
        }
        packed |= header == "content-encoding: gzip";
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    if packed {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&body[..])
            .read_to_end(&mut plain)
            .ok()?;
        body = plain;
    }
    Some((path, body))
}

/// Answers requests, the `n`th with what `answer` says.
fn serving(
    answer: impl Fn(usize, &str, &str) -> (u16, String) + Send + 'static,
) -> (u16, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, receiver): (Sender<(String, String)>, _) = channel();
    thread::spawn(move || {
        let mut count = 0;
        while let Ok((stream, _)) = listener.accept() {
            let mut stream = BufReader::new(stream);
            while let Some((path, body)) = request(&mut stream) {
                let body = String::from_utf8(body).unwrap();
                let (status, text) = answer(count, &path, &body);
                count += 1;
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\ncontent-type: application/json\r\n\r\n{text}",
                    text.len()
                );
                if sender.send((path, body)).is_err()
                    || stream.get_mut().write_all(head.as_bytes()).is_err()
                {
                    break;
                }
            }
        }
    });
    (port, receiver)
}

#[test]
fn a_busy_webhook_is_asked_again_and_a_poisonous_event_costs_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let (port, requests) = serving(|count, _, body| match count {
        0 => (503, String::new()),
        1 => (429, String::new()),
        2 => (302, String::new()),
        3 => (403, "not now".to_owned()),
        _ if body.lines().any(|line| number(line) == Some(33)) => (400, "no".to_owned()),
        _ => (200, String::new()),
    });
    let (spool, mut feed) = spool(directory.path());
    let sinks = start(
        &spool,
        Options {
            webhook: Some(format!("http://127.0.0.1:{port}/in")),
            ..named("hook")
        },
    );
    feed_lines(&mut feed, 0..100);
    feed.finish();
    spool.finish();
    wait_for(&sinks, |report| {
        report.delivered == 99 && report.refused == 1
    });
    sinks.finish();
    let got: BTreeSet<_> = requests
        .try_iter()
        .flat_map(|(_, body)| body.lines().filter_map(number).collect::<Vec<_>>())
        .collect();
    assert_eq!(got.len(), 100);
}

#[test]
fn events_of_a_bulk_request_are_judged_one_by_one_and_have_their_own_ids() {
    let directory = tempfile::tempdir().unwrap();
    // Every third event of the first request is not taken the first time, and one never.
    let (port, requests) = serving(|count, _, body| {
        let lines: Vec<_> = body.lines().collect();
        let items: Vec<_> = lines
            .chunks(2)
            .map(|pair| {
                let status = match number(pair[1]).unwrap() {
                    5 => 400,
                    n if n % 3 == 0 && count == 0 => 429,
                    _ => 201,
                };
                format!(r#"{{"create":{{"status":{status}}}}}"#)
            })
            .collect();
        (
            200,
            format!(r#"{{"errors":true,"items":[{}]}}"#, items.join(",")),
        )
    });
    let (spool, mut feed) = spool(directory.path());
    feed_lines(&mut feed, 0..30);
    feed.finish();
    wait_for_disk(&spool, 30);
    let sinks = start(
        &spool,
        Options {
            elasticsearch: Some(format!("http://127.0.0.1:{port}")),
            ..named("elastic")
        },
    );
    spool.finish();
    wait_for(&sinks, |report| {
        report.delivered == 29 && report.refused == 1
    });
    sinks.finish();
    let requests: Vec<_> = requests.try_iter().collect();
    assert!(requests.iter().all(|(path, _)| path == "/_bulk"));
    assert!(
        requests[0]
            .1
            .starts_with(r#"{"create":{"_index":"logs-sensor-default","_id":"00000001-0"}}"#)
    );
    let again: Vec<_> = requests[1].1.lines().filter_map(number).collect();
    assert_eq!(again, [0, 3, 6, 9, 12, 15, 18, 21, 24, 27]);
}

#[test]
fn a_collector_that_never_acknowledges_has_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("token");
    std::fs::write(&secret, "word\n").unwrap();
    let (port, requests) = serving(|count, path, _| match path {
        "/services/collector/ack" => (200, format!(r#"{{"acks":{{"{}":true}}}}"#, count - 1)),
        _ => (
            200,
            format!(r#"{{"text":"Success","code":0,"ackId":{count}}}"#),
        ),
    });
    let (spool, mut feed) = spool(&directory.path().join("spool"));
    feed_lines(&mut feed, 0..10);
    feed.finish();
    wait_for_disk(&spool, 10);
    let sinks = start(
        &spool,
        Options {
            splunk: Some(format!("http://127.0.0.1:{port}")),
            secret_file: Some(secret),
            ..named("splunk")
        },
    );
    spool.finish();
    wait_for(&sinks, |report| report.delivered == 10);
    sinks.finish();
    let requests: Vec<_> = requests.try_iter().collect();
    let events: Vec<serde_json::Value> = requests[0]
        .1
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), 10);
    assert_eq!(events[9]["event"]["n"], 9);
    assert_eq!(events[9]["sourcetype"], "sensor:ecs");
    assert_eq!(requests[1].0, "/services/collector/ack");
}

#[test]
fn loki_gets_lines_with_their_times() {
    let directory = tempfile::tempdir().unwrap();
    let (port, requests) = serving(|_, _, _| (204, String::new()));
    let (spool, mut feed) = spool(directory.path());
    feed_lines(&mut feed, 0..3);
    feed.finish();
    wait_for_disk(&spool, 3);
    let sinks = start(
        &spool,
        Options {
            loki: Some(format!("http://127.0.0.1:{port}")),
            ..named("loki")
        },
    );
    spool.finish();
    wait_for(&sinks, |report| report.delivered == 3);
    sinks.finish();
    let (path, body) = requests.recv_timeout(PATIENCE).unwrap();
    assert_eq!(path, "/loki/api/v1/push");
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let stream = &body["streams"][0];
    assert_eq!(stream["stream"]["host"], "host");
    assert_eq!(stream["stream"]["level"], "info");
    assert_eq!(stream["values"][2][0], "2");
    assert_eq!(stream["values"][2][1], line(2));
}

#[test]
fn what_a_sink_is_to_be_is_checked() {
    let refusal = |change: fn(&mut Options)| {
        let mut options = Options {
            file: Some("/x".into()),
            ..named("x")
        };
        change(&mut options);
        options::all(&[options], |kind| kind == "process").unwrap_err()
    };
    assert!(refusal(|o| o.name = "../x".to_owned()).contains("letters"));
    assert!(refusal(|o| o.file = None).contains("exactly one"));
    assert!(refusal(|o| o.loki = Some("http://x".to_owned())).contains("exactly one"));
    assert!(refusal(|o| o.events = vec!["proces".to_owned()]).contains("proces is no kind"));
    assert!(refusal(|o| o.severity = Some("worse".to_owned())).contains("critical"));
    assert!(
        refusal(|o| {
            o.file = None;
            o.syslog = Some("siem:514".to_owned());
        })
        .contains("tls://host:port")
    );
    assert!(
        refusal(|o| {
            o.file = None;
            o.splunk = Some("https://x".to_owned());
        })
        .contains("token")
    );
}

/// `cargo test --release -p sensor --lib a_million -- --ignored --nocapture`, on one CPU with
/// `taskset`: how fast events go through spool and sink, JSON included.
#[test]
#[ignore = "a measurement"]
fn a_million_events_to_a_local_receiver() {
    const EVENTS: u64 = 1_000_000;
    let directory = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let received = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let (mut lines, mut bytes) = (0_u64, 0_u64);
        let mut part = vec![0; 1 << 20];
        while let Ok(length @ 1..) = stream.read(&mut part) {
            bytes += length as u64;
            lines += part[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
        }
        (lines, bytes)
    });
    let (spool, feed) = Spool::open(Settings {
        directory: directory.path().to_owned(),
        bytes_max: PerLane {
            alerts: 1 << 28,
            telemetry: 1 << 32,
        },
        segment_bytes: 1 << 26,
        age_max: Duration::from_secs(1 << 40),
        when_full: WhenFull::DropOldest,
        sync_every: Duration::from_secs(1),
    })
    .unwrap();
    let sinks = options::all(
        &[Options {
            lines: Some(format!("tcp://127.0.0.1:{port}")),
            ..named("lines")
        }],
        |_| true,
    )
    .unwrap();
    let sinks = Sinks::start(&spool, sinks, &origin()).unwrap();
    let mut writer = crate::export::writer::Writer::new(
        std::io::sink(),
        crate::export::writer::Output::None,
        crate::export::format::Format::Ecs,
        crate::export::pretty::Style::for_stream(std::io::stdout()),
    );
    writer.keep_in(feed);
    let words = [
        "/usr/bin/curl",
        "-s",
        "https://example.net/some/longer/path?query=1",
    ];
    let program = made_up::program(&words);
    let mut process = made_up::process(ProcessKey {
        pid: 4711,
        start_ticks: 17,
    });
    process.program = Some(Arc::clone(&program));
    let exec = Action::Exec(Box::new(made_up::exec(program)));
    let mut event = made_up::event(process, 1_000_000_000, exec);
    let begun = std::time::Instant::now();
    let cpu = cpu_time();
    let shared = spool.shared();
    for number in 0..EVENTS {
        event.id.sequence = number;
        writer.write(&event);
        if number % 64 == 63 {
            writer.flush();
            // A pipeline would not be faster than its events; here it waits for the disk instead.
            while number
                > shared
                    .counts
                    .kept
                    .telemetry
                    .load(std::sync::atomic::Ordering::Relaxed)
                    + 8_000
            {
                thread::yield_now();
            }
        }
    }
    writer.finish();
    spool.finish();
    let produced = begun.elapsed();
    wait_for(&sinks, |report| report.delivered == EVENTS);
    let (all, cpu) = (begun.elapsed(), cpu_time() - cpu);
    let kept = shared.kept();
    sinks.finish();
    let (lines, bytes) = received.join().unwrap();
    assert_eq!(lines, EVENTS);
    println!(
        "{:.0} events/s produced, {:.0} delivered; {:.2} us of CPU each, receiver included; {} bytes each, {} on disk",
        EVENTS as f64 / produced.as_secs_f64(),
        EVENTS as f64 / all.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / EVENTS as f64,
        bytes / EVENTS,
        kept.written_bytes / EVENTS,
    );
}

/// CPU time of this process.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the structure is there to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
