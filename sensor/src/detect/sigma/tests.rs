//! Statements about Sigma rules on our events.

mod corpus;
mod generate;
mod prefilter;

use std::path::Path;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use super::load::Sources;
use super::record::{EventRecord, Record};
use super::sample::{Sample, text};
use super::*;
use crate::event::Action;
use crate::event::field::ALL;
use crate::event::parse::{self, Parsed};
use crate::export::json;
use crate::export::roundtrip::any;

fn engine(texts: &[&str]) -> (Engine, Vec<Problem>) {
    observing(texts, &Kinds::all())
}

fn observing(texts: &[&str], kinds: &Kinds) -> (Engine, Vec<Problem>) {
    let mut sources = Sources::default();
    for (number, text) in texts.iter().enumerate() {
        sources.add_text(Path::new(&format!("{number}.yml")), text);
    }
    Engine::new(sources, kinds)
}

fn exec(image: &str, args: &[&str], seconds: i64) -> Sample {
    let event = serde_json::json!({
        "event.dataset": "process.exec", "event.action": "exec", "process.pid": 7,
        "process.executable": image, "process.args": args, "process.user.name": "root",
    });
    Sample::from_json(event, seconds).unwrap()
}

fn fired(engine: &mut Engine, record: &impl Record) -> Vec<String> {
    let matches = engine.evaluate_record(record);
    matches
        .iter()
        .map(|found| found.rule.id.to_string())
        .collect()
}

const WHOAMI: &str = "title: Whoami\nid: who\nname: whoami\nlevel: low\nauthor: Ann, Bob\n\
    tags: [attack.discovery, attack.t1033]\n\
    logsource: {product: linux, category: process_creation}\n\
    detection: {selection: {Image|endswith: /whoami}, condition: selection}\n";

#[test]
fn a_match_names_rule_severity_and_what_matched() {
    let (mut engine, problems) = engine(&[WHOAMI]);
    assert_eq!(problems, []);
    let matches = engine.evaluate_record(&exec("/usr/bin/whoami", &["whoami"], 0));
    let [found] = &matches[..] else {
        panic!("{matches:?}")
    };
    assert_eq!(found.message, "Whoami: Image is /usr/bin/whoami");
    assert_eq!(found.severity, Severity::Low);
    assert_eq!(found.rule.techniques[0].id, "T1033");
    assert_eq!(found.rule.tactics[0].name, "discovery");
    assert_eq!(found.rule.authors.len(), 2);
    assert!(fired(&mut engine, &exec("/usr/bin/who", &["whoami"], 0)).is_empty());
}

#[test]
fn every_kind_of_event_there_is_can_have_rules() {
    for (_, _, name) in sensor_common::kind::ALL {
        assert!(Kind::from_name(name).is_some(), "{name}");
    }
}

#[test]
fn a_broken_rule_is_reported_and_the_others_work() {
    let broken = WHOAMI
        .replace("id: who", "id: bad")
        .replace("|endswith", "|re|contains");
    let (mut engine, problems) = engine(&[&broken, WHOAMI]);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].file, PathBuf::from("0.yml"));
    assert_eq!(problems[0].line, Some(1));
    assert_eq!(fired(&mut engine, &exec("/bin/whoami", &[], 0)), ["who"]);
}

#[test]
fn an_exec_is_seen_as_audit_records_each_by_itself() {
    let execve = "title: E\nid: e\nlogsource: {product: linux, service: auditd}\n\
        detection: {s: {type: EXECVE, a0: nc, a1: '-l'}, condition: s}\n";
    let syscall = "title: S\nid: s\nlogsource: {product: linux, service: auditd}\n\
        detection: {s: {type: SYSCALL, SYSCALL: execve, exe|endswith: /nc, a0: nc}, condition: s}\n";
    let (mut engine, _) = engine(&[execve, syscall]);
    // The arguments of a system call are not those of the program.
    assert_eq!(
        fired(&mut engine, &exec("/bin/nc", &["nc", "-l"], 0)),
        ["e"]
    );
    let never: Vec<_> = engine
        .list()
        .filter(|listed| !listed.verdict.fires())
        .collect();
    assert_eq!(&*never[0].rule.id, "s");
    assert!(
        never[0].verdict.to_string().contains("`a0`"),
        "{}",
        never[0].verdict
    );
}

#[test]
fn keywords_are_found_in_arguments() {
    let rule = "title: K\nid: k\nlogsource: {product: linux, service: auditd}\n\
        detection: {e: {type: EXECVE}, words: {'|all': [grep, password]}, condition: e and words}\n";
    let (mut engine, _) = engine(&[rule]);
    assert_eq!(
        fired(
            &mut engine,
            &exec("/bin/grep", &["grep", "Password", "x"], 0)
        ),
        ["k"]
    );
    assert!(fired(&mut engine, &exec("/bin/grep", &["grep", "x"], 0)).is_empty());
}

#[test]
fn a_filter_tunes_a_rule() {
    let filter = "title: F\nlogsource: {product: linux, category: process_creation}\n\
        filter: {rules: [who], selection: {User: root}, condition: not selection}\n";
    let (mut engine, problems) = engine(&[WHOAMI, filter]);
    assert_eq!(problems, []);
    assert!(fired(&mut engine, &exec("/bin/whoami", &[], 0)).is_empty());
}

const THRICE: &str = "title: Thrice\nid: thrice\nlevel: high\n\
    correlation: {type: event_count, rules: [whoami], group-by: [User], timespan: 10s, \
    condition: {gte: 3}}\n";

#[test]
fn a_correlation_counts_within_its_time_and_silences_what_it_counts() {
    let (mut engine, problems) = engine(&[WHOAMI, THRICE]);
    assert_eq!(problems, []);
    let at = |engine: &mut Engine, seconds| fired(engine, &exec("/bin/whoami", &[], seconds));
    assert!(at(&mut engine, 100).is_empty());
    assert!(at(&mut engine, 101).is_empty());
    assert!(at(&mut engine, 200).is_empty());
    assert!(at(&mut engine, 201).is_empty());
    let matches = engine.evaluate_record(&exec("/bin/whoami", &[], 202));
    assert_eq!(matches[0].message, "Thrice: User is root, count is 3");
    assert_eq!(matches[0].severity, Severity::High);
}

#[test]
fn a_correlation_of_nothing_is_a_problem() {
    let (_, problems) = engine(&[THRICE]);
    assert!(problems[0].what.contains("whoami"), "{problems:?}");
}

#[test]
fn a_rule_of_the_user_takes_the_place_of_a_built_in_one() {
    let mut sources = Sources::default();
    builtin::add_to(&mut sources);
    let id = sources.rules[0].document.id.clone().unwrap();
    let count = sources.rules.len();
    let mine = WHOAMI.replace("id: who", &format!("id: {id}"));
    sources.add_text(Path::new("mine.yml"), &mine);
    let (mut engine, problems) = Engine::new(sources, &Kinds::all());
    assert_eq!((problems.len(), engine.len()), (0, count));
    assert_eq!(fired(&mut engine, &exec("/bin/whoami", &[], 0)), [id]);
}

#[test]
fn a_broken_rule_of_the_user_leaves_the_built_in_one_in_force() {
    let mut sources = Sources::default();
    builtin::add_to(&mut sources);
    let (id, count) = (
        sources.rules[0].document.id.clone().unwrap(),
        sources.rules.len(),
    );
    let broken = WHOAMI
        .replace("id: who", &format!("id: {id}"))
        .replace("|endswith", "|re|contains");
    sources.add_text(Path::new("mine.yml"), &broken);
    let (engine, problems) = Engine::new(sources, &Kinds::all());
    assert_eq!((problems.len(), engine.len()), (1, count));
    assert!(engine.list().any(|listed| *listed.rule.id == *id));
}

#[test]
fn a_rule_on_events_that_are_not_observed_says_so() {
    let kinds = Kinds::where_observed(|name| name != "process.exec");
    let (mut engine, _) = observing(&[WHOAMI], &kinds);
    let verdict = engine.list().next().unwrap().verdict.to_string();
    assert!(verdict.contains("not observed: process.exec"), "{verdict}");
    assert!(fired(&mut engine, &exec("/bin/whoami", &[], 0)).is_empty());
}

#[test]
fn ecs_names_can_be_used_and_unknown_ones_are_reported() {
    let ecs = WHOAMI
        .replace("id: who", "id: ecs")
        .replace("Image|endswith: /whoami", "process.args: whoami");
    let odd = WHOAMI
        .replace("id: who", "id: odd")
        .replace("Image|endswith", "Imgae|endswith");
    let (mut engine, _) = engine(&[&ecs, &odd]);
    assert_eq!(fired(&mut engine, &exec("/x", &["whoami"], 0)), ["ecs"]);
    let verdict = engine.list().nth(1).unwrap().verdict.to_string();
    assert!(verdict.contains("never have `Imgae`"), "{verdict}");
}

/// The events of all samples beside the built-in rules.
fn samples() -> Vec<(String, bool, serde_json::Value)> {
    let mut all = Vec::new();
    for (file, lines) in builtin::samples() {
        for line in lines.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let fires = line["fires"].as_bool().unwrap();
            all.push((file.clone(), fires, line["event"].clone()));
        }
    }
    all
}

#[test]
fn built_in_rules_do_what_their_samples_say_and_have_both_kinds() {
    let mut sources = Sources::default();
    builtin::add_to(&mut sources);
    let (mut engine, problems) = Engine::new(sources, &Kinds::all());
    assert_eq!(problems, []);
    let ids: HashMap<String, String> = engine
        .list()
        .map(|listed| (listed.file.to_owned(), listed.rule.id.to_string()))
        .collect();
    let mut seen = BTreeSet::new();
    for (file, fires, event) in samples() {
        let sample = Sample::from_json(event, 0).unwrap();
        let found = fired(&mut engine, &sample);
        assert_eq!(found.contains(&ids[&file]), fires, "{file} {sample:?}");
        seen.insert((file, fires));
    }
    assert_eq!(seen.len(), 2 * ids.len(), "a sample of each kind for each");
    for listed in engine.list() {
        assert!(listed.verdict.fires(), "{}", listed.rule.name);
        assert!(!listed.rule.techniques.is_empty(), "{}", listed.rule.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_field_read_directly_is_the_one_of_the_field_list_and_known_of_its_kind(mut event in any::event()) {
        if let Action::Lost(_) | Action::Health(_) = event.action {
            // What the sensor says of itself is about no process.
            event.process = None;
        }
        let record = EventRecord::new(&event);
        let fields = event.fields();
        for field in ALL {
            let name = field.definition().name;
            let direct = record.field(*field).map(|value| text(&value));
            prop_assert_eq!(direct, EventRecord::slow(&event, *field), "{}", name);
            if fields.get(*field).is_some() {
                prop_assert!(fields::exists(record.kind(), *field), "{}", name);
            }
        }
    }
}

/// An event of each kind, with as many fields as possible, as it is recorded.
fn recorded_events() -> HashMap<String, serde_json::Value> {
    let mut runner = TestRunner::deterministic();
    let mut all = HashMap::new();
    for _ in 0..2_000 {
        let event = any::event().new_tree(&mut runner).unwrap().current();
        if event.process.is_none() {
            continue;
        }
        let line = json::native(&event.fields()).unwrap();
        let whole: serde_json::Value = serde_json::from_str(&line).unwrap();
        let fields = |event: &serde_json::Value| event.as_object().unwrap().len();
        let best = all.entry(event.action.label().name.to_owned());
        let best = best.or_insert_with(|| whole.clone());
        if fields(&whole) > fields(best) {
            *best = whole;
        }
    }
    all
}

#[test]
fn an_event_and_its_recording_match_the_same_rules() {
    let mut sources = Sources::default();
    builtin::add_to(&mut sources);
    let (mut engine, _) = Engine::new(sources, &Kinds::all());
    let recorded = recorded_events();
    let mut matched = 0;
    for (file, _, sample) in samples() {
        let Some(mut whole) = recorded
            .get(sample["event.dataset"].as_str().unwrap())
            .cloned()
        else {
            continue;
        };
        let fields = sample.as_object().unwrap().clone();
        whole.as_object_mut().unwrap().extend(fields);
        let line = whole.to_string();
        let Parsed::Event { event, .. } = parse::line(line.as_bytes()).expect(&line) else {
            panic!("{line}");
        };
        let recording: serde_json::Value =
            serde_json::from_str(&json::native(&event.fields()).unwrap()).unwrap();
        let of_recording = fired(&mut engine, &Sample::from_json(recording, 0).unwrap());
        let of_event = fired(&mut engine, &EventRecord::new(&event));
        assert_eq!(of_event, of_recording, "{file}");
        matched += of_event.len();
    }
    assert!(matched > 10, "{matched}");
}

#[test]
fn the_documentation_is_current() {
    crate::page::assert_current("sigma.md", &fields::documentation());
}
