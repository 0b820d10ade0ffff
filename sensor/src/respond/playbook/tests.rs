//! Playbooks from their text to what is decided.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::decide::{Decider, Verdict};
use super::limits::{Moment, Refusal};
use super::*;
use crate::config::Config;
use crate::event::alert::{Alert, Peer, Rule, Ruleset, Severity};
use crate::event::attack::{self, Technique};
use crate::event::network::Direction;
use crate::event::process::{Home, ProcessKey};
use crate::event::{Endpoint, made_up};

const SECOND: u64 = 1_000_000_000;

fn parse(text: &str) -> Result<Set, String> {
    let config = Config::parse(text, std::path::Path::new("sensor.toml"));
    let config = config.map_err(|error| error.to_string())?;
    config
        .respond
        .playbooks()
        .map_err(|error| error.to_string())
}

/// One enforced playbook with these lines.
pub(in crate::respond) fn set(lines: &str) -> Set {
    parse(&format!(
        "[respond]\nmode = 'enforce'\n[[respond.playbook]]\nname = 'test'\nmode = 'enforce'\n{lines}"
    ))
    .unwrap()
}

fn refused(lines: &str) -> String {
    let text = format!("[[respond.playbook]]\nname = 'test'\n{lines}");
    parse(&text).unwrap_err()
}

/// About a shell that obeys 203.0.113.7, with this pid.
pub(in crate::respond) fn alert(severity: Severity, pid: u32) -> Event {
    let mut process = made_up::process(ProcessKey::new(pid, 0));
    process.program = Some(made_up::program(&["/bin/dash"]));
    process.names.user = Some("www-data".into());
    process.ids.euid = 33;
    process.home = Home {
        service: Some("php8.2-fpm.service".into()),
        container: Some("4fa6e0f0c678".into()),
        ..Home::default()
    };
    let alert = Alert {
        rule: Arc::new(Rule {
            id: "remote-shell.reverse".into(),
            name: "Reverse shell".into(),
            ruleset: Ruleset::Behaviour,
            authors: Box::default(),
            techniques: [Technique::new("T1059.004")].into(),
            tactics: [attack::EXECUTION].into(),
        }),
        severity,
        confidence: 88,
        message: "dash obeys".to_owned(),
        path: None,
        ancestry: Vec::new(),
        peer: Some(Peer {
            endpoint: Endpoint {
                address: [203, 0, 113, 7].into(),
                port: 4444,
            },
            direction: Direction::Egress,
        }),
        file: None,
        content: None,
        indicator: None,
        evidence: Vec::new(),
        incident: Some("case".into()),
        repeats: 0,
        latency_ns: 0,
    };
    made_up::event(process, 1, Happening::Alert(Box::new(alert)))
}

fn at(seconds: u64) -> Moment {
    Moment {
        boot_ns: seconds * SECOND,
        minute: 12 * 60,
    }
}

fn verdicts(decider: &mut Decider, set: &Set, event: &Event, now: Moment) -> Vec<Verdict> {
    let decisions = decider.decide(set, event, now);
    let steps = decisions.into_iter().flat_map(|decision| decision.steps);
    steps.map(|step| step.verdict).collect()
}

fn holds(condition: &str) -> bool {
    let set = set(&format!("when = {{ {condition} }}\nactions = ['kill']"));
    let event = alert(Severity::High, 7);
    set.those_for(&event).next().is_some()
}

#[test]
fn each_condition_tells_alerts_apart() {
    for condition in [
        "min_severity = 'high'",
        "min_confidence = 88",
        "rules = ['sigma.*', 'remote-shell.*']",
        "techniques = ['T1059']",
        "techniques = ['T1059.004']",
        "tactics = ['execution']",
        "tactics = ['TA0002']",
        "services = ['php*']",
        "users = ['www-data']",
        "users = ['33']",
        "containers = ['*']",
        "executables = ['/bin/*sh']",
        "peer = 'outbound'",
        "peer = 'any'",
        "peers = ['10.0.0.0/8', '203.0.113.0/24']",
    ] {
        assert!(holds(condition), "{condition}");
    }
    for condition in [
        "min_severity = 'critical'",
        "min_confidence = 89",
        "rules = ['remote-shell']",
        "techniques = ['T1059.006']",
        "techniques = ['T1105']",
        "tactics = ['impact']",
        "services = ['nginx.service']",
        "users = ['root', '0']",
        "containers = ['0*']",
        "executables = ['/usr/*']",
        "peer = 'inbound'",
        "peers = ['10.0.0.0/8', '203.0.113.8']",
        "min_severity = 'high', peer = 'inbound'",
    ] {
        assert!(!holds(condition), "{condition}");
    }
}

#[test]
fn an_exception_wins() {
    let set = set(
        "when = { min_severity = 'low' }\nunless = { users = ['www-data'], rules = ['remote-*'] }\nactions = ['kill']",
    );
    assert_eq!(set.those_for(&alert(Severity::High, 7)).count(), 0);
}

#[test]
fn the_fastest_is_done_first_however_it_is_written() {
    let set = set(
        "when = { min_severity = 'low' }\nactions = [{ run = ['/bin/page'] }, 'quarantine', 'kill', 'block-peer']",
    );
    let names: Vec<_> = set.playbooks[0].actions.iter().map(Action::name).collect();
    assert_eq!(names, ["block-peer", "kill", "quarantine", "run"]);
}

#[test]
fn what_is_not_understood_is_refused_and_the_nearest_is_named() {
    let rest = "actions = ['kill']";
    for (text, says) in [
        ("actions = ['kill']".to_owned(), "missing field `when`"),
        (
            format!("when = {{ min_severty = 'high' }}\n{rest}"),
            "did you mean `min_severity`?",
        ),
        (
            format!("whem = {{ peer = 'any' }}\n{rest}"),
            "did you mean `when`?",
        ),
        (
            "when = { peer = 'any' }\nactions = ['blok-peer']".to_owned(),
            "did you mean `block-peer`?",
        ),
        (
            format!("when = {{ peer = 'outbund' }}\n{rest}"),
            "did you mean `outbound`?",
        ),
        (
            format!("mode = 'enforced'\nwhen = {{ peer = 'any' }}\n{rest}"),
            "did you mean `enforce`?",
        ),
        (format!("when = {{}}\n{rest}"), "means every alert"),
        (
            format!("when = {{ min_severity = 'hihg' }}\n{rest}"),
            "no severity",
        ),
        (
            format!("when = {{ techniques = ['1059'] }}\n{rest}"),
            "no technique",
        ),
        (
            format!("when = {{ tactics = ['evil'] }}\n{rest}"),
            "no tactic",
        ),
        (format!("when = {{ rules = [''] }}\n{rest}"), "pattern"),
        (
            "when = { peer = 'any' }\nactions = []".to_owned(),
            "no actions",
        ),
        (
            "when = { peer = 'any' }\nactions = ['kill', 'kill']".to_owned(),
            "twice",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = ['page'] }]".to_owned(),
            "whole path",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = [] }]".to_owned(),
            "whole path",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = ['/bin/a', '{pidd}'] }]".to_owned(),
            "{pid}",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = ['/bin/a', '--p={pid}'] }]".to_owned(),
            "of its own",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = ['/bin/a'], timeuot = '3s' }]".to_owned(),
            "did you mean `timeout`?",
        ),
        (
            "when = { peer = 'any' }\nactions = [{ run = ['/bin/a'], timeout = '2h' }]".to_owned(),
            "at most",
        ),
        (
            format!("when = {{ peer = 'any' }}\nper_hour = 0\n{rest}"),
            "per_hour",
        ),
        (
            format!("when = {{ peer = 'any' }}\nhours = 'night'\n{rest}"),
            "22:00-06:30",
        ),
        (
            format!("when = {{ peer = 'any' }}\nttl = 'never'\n{rest}"),
            "forever",
        ),
        (
            format!("when = {{ peer = 'any' }}\nask_within = '5m'\n{rest}"),
            "ask = true",
        ),
    ] {
        let error = refused(&text);
        assert!(error.contains(says), "{text}\n{error}");
    }
    let twice =
        "[[respond.playbook]]\nname = 'a'\nwhen = { peer = 'any' }\nactions = ['kill']\n".repeat(2);
    assert!(parse(&twice).unwrap_err().contains("two playbooks"));
}

#[test]
fn nobody_goes_further_than_the_switch_for_all() {
    let event = alert(Severity::High, 7);
    for (all, one, expected) in [
        ("enforce", "enforce", vec![Verdict::Do]),
        ("dry-run", "enforce", vec![Verdict::Rehearse]),
        ("enforce", "dry-run", vec![Verdict::Rehearse]),
        ("off", "enforce", vec![]),
        ("enforce", "off", vec![]),
    ] {
        let set = parse(&format!(
            "[respond]\nmode = '{all}'\n[[respond.playbook]]\nname = 'x'\nmode = '{one}'\nwhen = {{ peer = 'any' }}\nactions = ['kill']"
        ))
        .unwrap();
        let found = verdicts(&mut Decider::default(), &set, &event, at(0));
        assert_eq!(found, expected, "{all} {one}");
    }
}

#[test]
fn a_playbook_rehearses_unless_it_is_told_to_do_more() {
    let set =
        parse("[[respond.playbook]]\nname = 'x'\nwhen = { peer = 'any' }\nactions = ['kill']")
            .unwrap();
    assert_eq!(set.mode_of(&set.playbooks[0]), Mode::DryRun);
    assert_eq!(set.playbooks[0].ttl, Some(Duration::from_secs(3_600)));
}

#[test]
fn limits_hold_also_over_a_reload() {
    let set = set("when = { peer = 'any' }\nactions = ['kill', 'quarantine']\nper_hour = 2");
    let mut decider = Decider::default();
    let lacking = Verdict::Refuse(Refusal::NoTarget("the alert names no file"));
    for pid in [1, 2] {
        let found = verdicts(
            &mut decider,
            &set,
            &alert(Severity::High, pid),
            at(u64::from(pid)),
        );
        assert_eq!(found, [Verdict::Do, lacking.clone()]);
    }
    decider.renew(&set.clone());
    let event = alert(Severity::High, 3);
    let found = verdicts(&mut decider, &set, &event, at(3_600));
    assert_eq!(found[0], Verdict::Refuse(Refusal::PerHour(2)));
    assert_eq!(
        verdicts(&mut decider, &set, &event, at(3_602))[0],
        Verdict::Do
    );
}

#[test]
fn at_other_hours_it_does_nothing_and_says_so() {
    let set = set("when = { peer = 'any' }\nactions = ['kill']\nhours = '20:00-06:00'");
    let found = verdicts(
        &mut Decider::default(),
        &set,
        &alert(Severity::High, 1),
        at(0),
    );
    assert!(matches!(found[..], [Verdict::Refuse(Refusal::Hours(_))]));
}

#[test]
fn who_asks_first_does_nothing_by_itself() {
    let set = set("when = { peer = 'any' }\nactions = ['kill', 'block-peer']\nask = true");
    let found = verdicts(
        &mut Decider::default(),
        &set,
        &alert(Severity::High, 1),
        at(0),
    );
    assert_eq!(found, [Verdict::Ask, Verdict::Ask]);
}

#[test]
fn placeholders_are_never_options() {
    let mut event = alert(Severity::High, 7);
    assert_eq!(Placeholder::Peer.value(&event), "203.0.113.7");
    assert_eq!(Placeholder::Executable.value(&event), "/bin/dash");
    if let Happening::Alert(alert) = &mut event.action {
        alert.file = Some("--delete-everything".into());
    }
    assert_eq!(Placeholder::File.value(&event), "");
}

fn severities() -> impl Strategy<Value = Severity> {
    prop_oneof![
        Just(Severity::Low),
        Just(Severity::Medium),
        Just(Severity::High)
    ]
}

proptest! {
    /// Whatever comes, at whatever pace: never more than the limit within any hour, never the same
    /// target within its cool-down.
    #[test]
    fn limits_hold_whatever_comes(
        per_hour in 1_usize..5,
        cool_down in 1_u64..2_000,
        alerts in vec((0_u64..1_500, 0_u32..4, severities()), 1..120),
    ) {
        let set = set(&format!(
            "when = {{ min_severity = 'medium' }}\nactions = ['kill']\nper_hour = {per_hour}\ncool_down = '{cool_down}s'"
        ));
        let mut decider = Decider::default();
        let mut done: Vec<(u64, u32)> = Vec::new();
        let mut now = 0;
        for (wait, pid, severity) in alerts {
            now += wait;
            for verdict in verdicts(&mut decider, &set, &alert(severity, pid), at(now)) {
                prop_assert!(severity >= Severity::Medium);
                let recent = done.iter().filter(|(then, _)| now - then < 3_600).count();
                let warm = done.iter().any(|(then, whom)| *whom == pid && now - then < cool_down);
                match verdict {
                    Verdict::Do => {
                        prop_assert!(recent < per_hour && !warm);
                        done.push((now, pid));
                    }
                    Verdict::Refuse(Refusal::PerHour(_)) => prop_assert!(recent >= per_hour),
                    Verdict::Refuse(Refusal::CoolDown { .. }) => prop_assert!(warm),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }

    /// Texts made of what playbooks are made of are understood or refused, and never more.
    #[test]
    fn hostile_texts_are_refused_with_a_word(
        words in vec(
            prop_oneof![
                "[a-z_-]{1,12} = ",
                "\\{ run = \\['/[a-z{}]{0,9}', '[^']{0,9}'\\] \\}",
                "'[^']{0,20}'",
                Just("[[respond.playbook]]\n".to_owned()),
                Just("name = 'x'\nwhen = { rules = ['*'] }\nactions = ['kill']\n".to_owned()),
                Just("actions = [".to_owned()),
                Just("]\n".to_owned()),
                any::<String>(),
            ],
            0..12,
        ),
    ) {
        if let Err(error) = parse(&words.concat()) {
            prop_assert!(!error.is_empty());
        }
    }
}
