//! The spool as a whole, on a real file system: what is fed comes out in order, across restarts,
//! torn files and full disks, and what does not is told of to the last record.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::feed::Feed;
use super::keeper::Spool;
use super::reader::{Gap, Item, Reader};
use super::{Lane, PerLane, Settings, SpoolError, WhenFull, segment};

fn settings(directory: &Path) -> Settings {
    Settings {
        directory: directory.to_owned(),
        bytes_max: PerLane {
            alerts: 1 << 20,
            telemetry: 1 << 20,
        },
        segment_bytes: 4096,
        age_max: Duration::from_secs(1 << 40),
        when_full: WhenFull::DropOldest,
        sync_every: Duration::from_millis(50),
    }
}

/// What a receiver got, as texts and counts of gaps.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
struct Got {
    texts: Vec<String>,
    missing: PerLane<u64>,
}

fn drain(reader: &mut Reader, got: &mut Got) {
    while let Some(item) = reader.read().unwrap() {
        match item {
            Item::Record(_, record) => got
                .texts
                .push(String::from_utf8(record.payload.to_vec()).unwrap()),
            Item::Gap(Gap { lane, count, .. }) => *got.missing.of_mut(lane) += count,
        }
    }
}

fn put(feed: &mut Feed, lane: Lane, text: &str) {
    feed.put(lane, 1, 0, "process.exec", text.as_bytes());
}

/// A text that does not compress.
fn noise(number: u64, length: usize) -> String {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut text = format!("{number}:");
    while text.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        text.push_str(&format!("{state:x}"));
    }
    text
}

#[test]
fn both_lanes_come_out_as_one_row_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let mut expected = Vec::new();
    let mut got = Got::default();
    for run in 0..3 {
        let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
        let (mut reader, mut cursor) = spool.reader("siem").unwrap();
        for number in 0..500 {
            let lane = if number % 7 == 3 {
                Lane::Alerts
            } else {
                Lane::Telemetry
            };
            let text = noise(run * 1000 + number, 100);
            put(&mut feed, lane, &text);
            expected.push(text);
            if number % 10 == 9 {
                feed.flush();
            }
            if number == 250 {
                drain(&mut reader, &mut got);
                cursor.keep(reader.position()).unwrap();
            }
        }
        feed.finish();
        spool.finish();
    }
    let (spool, feed) = Spool::open(settings(directory.path())).unwrap();
    feed.finish();
    let (mut reader, _) = spool.reader("siem").unwrap();
    drain(&mut reader, &mut got);
    assert_eq!(got.texts, expected);
    assert_eq!(got.missing, PerLane::default());
    spool.finish();
}

#[test]
fn a_torn_end_is_cut_off_and_what_follows_is_readable() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    put(&mut feed, Lane::Telemetry, "one");
    feed.flush();
    feed.finish();
    spool.finish();
    let telemetry = directory.path().join("telemetry");
    let first = segment::list(&telemetry).unwrap()[0];
    let mut file = fs::File::options()
        .append(true)
        .open(segment::path(&telemetry, first))
        .unwrap();
    file.write_all(&[7; 99]).unwrap();

    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    assert_eq!(spool.recovered().torn, 99);
    put(&mut feed, Lane::Telemetry, "two");
    feed.flush();
    feed.finish();
    let (mut reader, _) = spool.reader("siem").unwrap();
    spool.finish();
    let mut got = Got::default();
    drain(&mut reader, &mut got);
    assert_eq!(got.texts, ["one", "two"]);
}

#[test]
fn a_changed_byte_costs_no_more_than_its_segment_and_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    for number in 0..200 {
        put(&mut feed, Lane::Telemetry, &noise(number, 200));
        feed.flush();
    }
    feed.finish();
    let (mut reader, _) = spool.reader("siem").unwrap();
    let shared = spool.shared();
    spool.finish();
    let telemetry = directory.path().join("telemetry");
    let segments = segment::list(&telemetry).unwrap();
    assert!(segments.len() > 4, "{segments:?}");
    let path = segment::path(&telemetry, segments[2]);
    let mut bytes = fs::read(&path).unwrap();
    bytes[60] ^= 1;
    fs::write(&path, bytes).unwrap();

    let mut got = Got::default();
    drain(&mut reader, &mut got);
    let lost = segments[3] - segments[2];
    assert_eq!(got.missing.telemetry, lost);
    assert_eq!(got.texts.len() as u64, 200 - lost);
    assert_eq!(
        shared
            .counts
            .broken
            .load(std::sync::atomic::Ordering::Relaxed),
        1
    );
}

#[test]
fn telemetry_without_room_gives_way_and_alerts_stay() {
    for when_full in [WhenFull::DropOldest, WhenFull::DropNewest] {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(directory.path());
        settings.bytes_max.telemetry = 32 * 1024;
        settings.when_full = when_full;
        let (spool, mut feed) = Spool::open(settings).unwrap();
        let (mut reader, _) = spool.reader("siem").unwrap();
        let shared = spool.shared();
        for number in 0..1000 {
            put(&mut feed, Lane::Telemetry, &noise(number, 200));
            if number % 100 == 0 {
                put(&mut feed, Lane::Alerts, &format!("alert {number}"));
            }
            feed.flush();
        }
        feed.finish();
        spool.finish();
        let mut got = Got::default();
        drain(&mut reader, &mut got);
        let (alerts, telemetry): (Vec<_>, Vec<_>) = got
            .texts
            .iter()
            .partition(|text| text.starts_with("alert "));
        assert_eq!(alerts.len(), 10, "{:?}", shared.counts);
        assert_eq!(telemetry.len() as u64 + got.missing.telemetry, 1000);
        assert!(telemetry.len() > 50 && telemetry.len() < 200);
        let first = telemetry[0].starts_with("0:");
        assert_eq!(first, when_full == WhenFull::DropNewest);
        assert_eq!(got.missing.alerts, 0);
    }
}

#[test]
fn what_everybody_has_is_let_go_and_not_before() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    let (mut quick, _) = spool.reader("quick").unwrap();
    let (mut slow, _) = spool.reader("slow").unwrap();
    for number in 0..200 {
        put(&mut feed, Lane::Telemetry, &noise(number, 200));
        feed.flush();
    }
    let shared = spool.shared();
    let wait_for = |holds: &dyn Fn(usize) -> bool| {
        for _ in 0..1000 {
            let view = shared.view();
            if holds(view.segments.telemetry.len()) {
                return;
            }
            let _ = shared.wait(view.version, Duration::from_millis(100));
        }
        panic!("{:?}", shared.view());
    };
    wait_for(&|count| count > 5);
    while *shared.view().next.of(Lane::Telemetry) < 200 {
        let _ = shared.wait(shared.view().version, Duration::from_millis(100));
    }
    let mut got = Got::default();
    drain(&mut quick, &mut got);
    quick.delivered(quick.position());
    drain(&mut slow, &mut got);
    assert!(
        directory
            .path()
            .join("telemetry")
            .read_dir()
            .unwrap()
            .count()
            > 5
    );
    slow.delivered(slow.position());
    wait_for(&|count| count == 1);
    feed.finish();
    spool.finish();
    assert_eq!(got.texts.len(), 400);
}

#[test]
fn what_has_just_come_is_not_old_though_its_clock_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.age_max = Duration::from_secs(3600);
    let (spool, mut feed) = Spool::open(settings).unwrap();
    let (mut reader, _) = spool.reader("siem").unwrap();
    put(&mut feed, Lane::Telemetry, "from 1970");
    feed.flush();
    let shared = spool.shared();
    while *shared.view().next.of(Lane::Telemetry) == 0 {
        let _ = shared.wait(shared.view().version, Duration::from_millis(100));
    }
    // More than once it is looked for what is too old, and nothing is let go.
    assert!(!shared.wait(shared.view().version, Duration::from_millis(2_500)));
    feed.finish();
    spool.finish();
    let mut got = Got::default();
    drain(&mut reader, &mut got);
    assert_eq!(got.texts, ["from 1970"]);
}

#[test]
fn a_spool_belongs_to_one_process() {
    let directory = tempfile::tempdir().unwrap();
    let (_spool, _feed) = Spool::open(settings(directory.path())).unwrap();
    let refused = Spool::open(settings(directory.path())).unwrap_err();
    assert!(matches!(refused, SpoolError::InUse(_)), "{refused}");
}

#[test]
fn numbers_that_a_receiver_has_seen_are_not_given_again() {
    let directory = tempfile::tempdir().unwrap();
    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    let (mut reader, mut cursor) = spool.reader("siem").unwrap();
    for number in 0..10 {
        put(&mut feed, Lane::Telemetry, &noise(number, 100));
    }
    feed.flush();
    feed.finish();
    spool.finish();
    drain(&mut reader, &mut Got::default());
    cursor.keep(reader.position()).unwrap();
    // What a power cut does to a segment that was delivered and not yet on disk.
    let telemetry = directory.path().join("telemetry");
    fs::write(segment::path(&telemetry, 0), b"").unwrap();

    let (spool, mut feed) = Spool::open(settings(directory.path())).unwrap();
    put(&mut feed, Lane::Telemetry, "after");
    feed.flush();
    feed.finish();
    let (mut reader, _) = spool.reader("siem").unwrap();
    let (mut other, _) = spool.reader("other").unwrap();
    spool.finish();
    let mut got = Got::default();
    drain(&mut reader, &mut got);
    assert_eq!((got.texts.len(), got.missing.telemetry), (1, 0));
    let mut got = Got::default();
    drain(&mut other, &mut got);
    assert_eq!((got.texts.len(), got.missing.telemetry), (1, 10));
}

#[derive(Clone, Debug)]
enum Step {
    Put(bool, u8),
    Flush,
    Read(u8),
    Rewind,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (any::<bool>(), any::<u8>()).prop_map(|(lane, length)| Step::Put(lane, length)),
        3 => Just(Step::Flush),
        3 => any::<u8>().prop_map(Step::Read),
        1 => Just(Step::Rewind),
        1 => Just(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens in whatever order, a receiver gets everything, in order, and once if it
    /// never goes back.
    #[test]
    fn everything_arrives_in_order(steps in proptest::collection::vec(step(), 1..120)) {
        let directory = tempfile::tempdir().unwrap();
        let mut settings = settings(directory.path());
        settings.segment_bytes = 512;
        let mut fed = 0_u64;
        let mut seen = Vec::<u64>::new();
        let (mut spool, mut feed) = Spool::open(settings.clone()).unwrap();
        let (mut reader, mut cursor) = spool.reader("siem").unwrap();
        let number = |payload: &[u8]| -> u64 {
            str::from_utf8(payload).unwrap().split(':').next().unwrap().parse().unwrap()
        };
        for step in steps.into_iter().chain([Step::Restart]) {
            match step {
                Step::Put(is_alert, length) => {
                    let lane = if is_alert { Lane::Alerts } else { Lane::Telemetry };
                    put(&mut feed, lane, &noise(fed, length.into()));
                    fed += 1;
                }
                Step::Flush => feed.flush(),
                Step::Read(most) => {
                    for _ in 0..most {
                        match reader.read().unwrap() {
                            None => break,
                            Some(Item::Gap(gap)) => panic!("{gap:?}"),
                            Some(Item::Record(_, record)) => seen.push(number(record.payload)),
                        }
                    }
                    cursor.keep(reader.position()).unwrap();
                    reader.delivered(reader.position());
                }
                Step::Rewind => {
                    let here = reader.position();
                    reader.rewind(here);
                }
                Step::Restart => {
                    feed.finish();
                    drop(reader);
                    spool.finish();
                    (spool, feed) = Spool::open(settings.clone()).unwrap();
                    (reader, cursor) = spool.reader("siem").unwrap();
                }
            }
        }
        while let Some(item) = reader.read().unwrap() {
            match item {
                Item::Gap(gap) => panic!("{gap:?}"),
                Item::Record(_, record) => seen.push(number(record.payload)),
            }
        }
        prop_assert_eq!(seen, (0..fed).collect::<Vec<_>>());
    }
}
