//! Statements about detection as a whole.

use std::path::Path;

use super::sigma::Kinds;
use super::sigma::load::Sources;
use super::*;
use crate::event::made_up;
use crate::event::process::ProcessKey;

const ON_EXEC: &str = "title: Miner\nid: miner\nlevel: low\n\
    logsource: {product: linux, category: process_creation}\n\
    detection: {selection: {Image: /tmp/miner}, condition: selection}\n";
const ON_THAT_ALERT: &str = "title: Alert About A Miner\nid: about-miner\nlevel: high\n\
    logsource: {product: linux, category: alert}\n\
    detection: {selection: {rule.id: miner, process.executable: /tmp/miner}, condition: selection}\n";
const ON_ANY_ALERT: &str = "title: Any Alert\nid: any\nlevel: medium\n\
    logsource: {product: linux, service: sensor}\n\
    detection: {selection: {event.dataset: alert}, condition: selection}\n";

fn detector(rules: &[&str]) -> Detector {
    let mut sources = Sources::default();
    for (number, text) in rules.iter().enumerate() {
        sources.add_text(Path::new(&format!("{number}.yml")), text);
    }
    let (engine, problems) = Engine::new(sources, &Kinds::all());
    assert_eq!(problems, []);
    let mut detector = Detector::replaying();
    detector.set_rules(Box::new(engine));
    detector
}

fn alerts(rules: &[&str]) -> Vec<String> {
    execute_miner(&mut detector(rules), 7)
}

/// The rules that find something in it.
fn execute_miner(detector: &mut Detector, pid: u32) -> Vec<String> {
    let process = made_up::process(ProcessKey {
        pid,
        start_ticks: 7,
    });
    let exec = made_up::exec(made_up::program(&["/tmp/miner"]));
    let mut event = made_up::event(process, 1_000, Action::Exec(Box::new(exec)));
    let mut host = Tracker::replaying(10);
    host.apply(&mut event);
    let raised = detector.observe(&event, &host);
    let mut ids: Vec<_> = raised
        .iter()
        .map(|raised| raised.alert.rule.id.to_string())
        .collect();
    ids.sort();
    ids
}

#[test]
fn a_rule_can_ask_for_an_alert_of_another() {
    assert_eq!(alerts(&[ON_EXEC, ON_THAT_ALERT]), ["about-miner", "miner"]);
    assert_eq!(alerts(&[ON_THAT_ALERT]), [""; 0]);
}

#[test]
fn a_rule_about_alerts_does_not_find_its_own_or_those_of_its_kind() {
    assert_eq!(alerts(&[ON_EXEC, ON_ANY_ALERT]), ["any", "miner"]);
    assert_eq!(
        alerts(&[ON_EXEC, ON_ANY_ALERT, ON_THAT_ALERT]),
        ["about-miner", "any", "miner"]
    );
}

#[test]
fn what_was_answered_is_told_again_when_it_happens_again() {
    let mut detector = detector(&[ON_EXEC]);
    assert_eq!(execute_miner(&mut detector, 7), ["miner"]);
    assert_eq!(execute_miner(&mut detector, 8), [""; 0]);
    detector.answered(ProcessKey {
        pid: 7,
        start_ticks: 7,
    });
    assert_eq!(execute_miner(&mut detector, 9), ["miner"]);
    assert_eq!(execute_miner(&mut detector, 10), [""; 0]);
}
