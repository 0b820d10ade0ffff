//! Which events meet what is listed, how bad that is, and what is said of it.

use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::event::dns::{Answer, Message};
use crate::event::made_up;
use crate::event::network::{Accept, Flow, Send};
use crate::event::process::ProcessKey;
use crate::intelligence::shared::Shared;
use crate::intelligence::store::{Builder, Note};

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn indicators(confidence: u8, technique: Option<&str>, listed: &[&str]) -> Indicators {
    let mut builder = Builder::default();
    let note = builder.note(Note {
        list: "feed".into(),
        title: "Mirai".into(),
        id: "indicator--7".into(),
        technique: technique.map(Into::into),
        tactic: None,
        confidence,
        until: u64::MAX / 1_000_000_000,
        blocks: false,
    });
    for text in listed {
        builder.add(&Subject::parse(text).unwrap(), note);
    }
    let shared = Arc::new(Shared::default());
    shared.publish(Arc::new(builder.finish()));
    Indicators::of(Reader::of(shared))
}

fn end(last: u8) -> Endpoint {
    Endpoint {
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)),
        port: 443,
    }
}

fn flow(last: u8) -> Flow {
    Flow {
        local: end(1),
        remote: end(last),
        protocol: 6,
        net_ns: 0,
        inode: None,
    }
}

fn connect(outcome: Outcome) -> Action {
    Action::TcpConnect(Box::new(Connect {
        flow: flow(7),
        started: None,
        took_ns: 0,
        outcome,
    }))
}

fn found(indicators: &mut Indicators, action: Action) -> Vec<Finding> {
    let process = made_up::process(ProcessKey {
        pid: 7,
        start_ticks: 7,
    });
    let event = made_up::event(process, 1_000, action);
    let mut found = Vec::new();
    indicators.observe(&event, &Tracker::replaying(10), &mut found);
    found
}

#[test]
fn whoever_is_called_is_looked_up_and_said_to_be_listed() {
    let mut lists = indicators(80, Some("T1071.001"), &["192.0.2.0/24"]);
    let all = found(&mut lists, connect(Outcome::Success));
    let [one] = all.as_slice() else {
        panic!("{all:?}")
    };
    assert_eq!((one.severity, one.confidence), (Severity::High, 80));
    for part in [
        "made-up is connected to 192.0.2.7:443",
        "feed",
        "Mirai",
        "192.0.2.0/24",
        "80 % sure",
    ] {
        assert!(one.message.contains(part), "{part}: {}", one.message);
    }
    let indicator = one.indicator.as_deref().unwrap();
    assert_eq!((indicator.kind, indicator.address), ("ipv4-addr", None));
    let Cause::Rule(rule) = &one.cause else {
        panic!("{:?}", one.cause)
    };
    assert_eq!(&*rule.id, "threat-intelligence");
    assert_eq!(&*rule.techniques[0].id, "T1071.001");
    let failed = found(
        &mut lists,
        connect(Outcome::Failure(libc::ETIMEDOUT as u32)),
    );
    assert!(failed[0].message.contains("tried to connect"));
    let denied = found(&mut lists, connect(Outcome::Failure(libc::EPERM as u32)));
    assert!(denied[0].message.contains("was kept from connecting"));
}

#[test]
fn who_calls_in_counts_less_than_who_is_called_and_the_unsure_less_than_the_sure() {
    let severity = |confidence, action| {
        let mut lists = indicators(confidence, None, &["192.0.2.7"]);
        found(&mut lists, action)
            .first()
            .map(|finding| finding.severity)
    };
    let called = || Action::TcpAccept(Box::new(Accept(flow(7))));
    let sent = || Action::UdpSend(Box::new(Send(flow(7))));
    assert_eq!(severity(80, called()), Some(Severity::Medium));
    assert_eq!(severity(80, sent()), Some(Severity::High));
    assert_eq!(severity(60, sent()), Some(Severity::Medium));
    assert_eq!(severity(60, called()), Some(Severity::Low));
    assert_eq!(severity(20, sent()), Some(Severity::Low));
    let other = Action::UdpSend(Box::new(Send(flow(8))));
    assert_eq!(severity(80, other), None);
}

#[test]
fn names_are_found_in_questions_aliases_and_answers() {
    let message = |question: &str, answers: Vec<Answer>| {
        let mut message =
            crate::event::dns::parse(&[0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0]).unwrap();
        message.questions.push(crate::event::dns::Question {
            name: question.into(),
            qtype: 1,
            qclass: 1,
        });
        message.answers = answers;
        message
    };
    let answer = |rtype, data: &str| Answer {
        name: "x".into(),
        rtype,
        class: 1,
        ttl: 1,
        address: data.parse().ok(),
        data: data.into(),
    };
    let of = |message: Message| {
        let mut lists = indicators(80, None, &["evil.example", "192.0.2.9"]);
        let dns = Action::Dns(Box::new(Dns {
            flow: flow(7),
            direction: Direction::Ingress,
            bytes: 0,
            message: Ok(message),
        }));
        let found = found(&mut lists, dns).into_iter();
        found
            .map(|one| one.indicator.unwrap().value.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(of(message("a.evil.example", vec![])), ["evil.example"]);
    assert_eq!(
        of(message("good.example", vec![answer(5, "cdn.evil.example")])),
        ["evil.example"]
    );
    assert_eq!(
        of(message("good.example", vec![answer(1, "192.0.2.9")])),
        ["192.0.2.9"]
    );
    assert_eq!(
        of(message("evil.example", vec![answer(5, "evil.example")])),
        ["evil.example"]
    );
    assert!(of(message("good.example", vec![answer(16, "evil.example")])).is_empty());
}

#[test]
fn a_program_is_found_by_its_hash_once_that_is_known() {
    let mut lists = indicators(90, None, &[HASH]);
    let program = made_up::program(&["/tmp/x"]);
    let exec = || Action::Exec(Box::new(made_up::exec(Arc::clone(&program))));
    assert!(found(&mut lists, exec()).is_empty());
    assert!(lists.late().is_none());
    program.sha256.set(HASH.into()).unwrap();
    let late = lists.late().unwrap();
    assert!(
        late.finding.message.contains("runs /tmp/x"),
        "{}",
        late.finding.message
    );
    assert_eq!(late.finding.file.as_deref(), Some("/tmp/x"));
    assert!(lists.late().is_none());
    assert_eq!(found(&mut lists, exec()).len(), 1);
}
